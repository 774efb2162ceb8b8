"""B8 and G12: a million deliveries are pending when a server starts."""

import asyncio
import time

from benchmarks.children import BenchmarkError, Child, child, until
from benchmarks.figures import Result
from benchmarks.filling import add_backlog
from benchmarks.goals import figure
from benchmarks.measures.common import (
    LANES,
    arrival,
    drain,
    identity_of,
    memory_of,
    quiet,
    subscribe_lanes,
)
from benchmarks.server import Server, open_server
from benchmarks.sink import Sink, open_sink
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Scale, in_turns, value_of


async def backlog(scale: Scale, kind: Kind) -> list[Result]:
    """Start on the backlog, drain a part of it, then by turns with a server of a short queue."""
    identity = identity_of(kind, "B8", "G12")
    async with child("load") as load, open_sink() as sink, open_stores(kind) as new_store:
        full, short = await _store(new_store, sink), await _store(new_store, sink)
        await add_backlog(full, scale.backlog, lanes=(1, LANES))
        first = asyncio.create_task(_first_arrival(sink))
        # The first may come before the server answers us.
        async with open_server(full) as server, memory_of(server) as watch:
            started = value_of((identity, "first"), await first, scale)
            await asyncio.sleep(scale.drain_seconds)
            await server.pause()
            async with open_server(short) as other:
                drained = await _by_turns(identity, load, sink, (other, server), scale)
                await other.check(scale.turns * scale.deliveries)
            most, series = watch.most, tuple(watch.series)
            await _check(server, sink, scale)
    return [value_of((identity, "backlog"), most, scale, series), started, *drained]


async def _store(new_store: NewStore, sink: Sink) -> Store:
    store = await new_store()
    async with open_server(store) as server:
        await subscribe_lanes(server, sink)
    return store


async def _first_arrival(sink: Sink) -> float:
    """Return the seconds until the first request comes."""
    started = time.perf_counter()

    async def has_come() -> bool:
        return await sink.count() > 0

    await until(has_come, "a first request has arrived")
    return time.perf_counter() - started


async def _by_turns(
    identity: str, load: Child, sink: Sink, servers: tuple[Server, Server], scale: Scale
) -> list[Result]:
    short, full = servers

    async def limit() -> float:
        await quiet(sink)
        return await drain(load, short, sink, scale.deliveries)

    async def ours() -> float:
        before = await quiet(sink)
        started = time.perf_counter()
        await full.resume()
        rate = await arrival(sink, before, scale.deliveries, started)
        await full.pause()
        return rate

    return await in_turns(figure(identity, "drain"), scale, limit, ours)


async def _check(server: Server, sink: Sink, scale: Scale) -> None:
    """Raise BenchmarkError unless what has arrived is what the books say, once each."""
    arrived = await quiet(sink) - scale.turns * scale.deliveries
    books = await server.books()
    agree = arrived == books.succeeded_count == books.attempt_count
    if books.violations or not agree or books.delivery_count != scale.backlog:
        raise BenchmarkError(f"{arrived} of {scale.backlog} have arrived; the audit says {books}")
