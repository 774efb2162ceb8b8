"""B1 to B4 and B6: how much a second."""

import asyncio
import time

from benchmarks.children import Child, child
from benchmarks.figures import Result
from benchmarks.goals import figure
from benchmarks.load import BATCH
from benchmarks.measures.common import (
    IN_FLIGHT,
    arrival,
    delivering,
    drain,
    held,
    part,
    publish_batches,
    raw_posts,
    seconds,
)
from benchmarks.stores import Kind, PostgresStore, SqliteStore, Store, open_stores
from benchmarks.turns import Scale, in_turns


async def draining(scale: Scale, kind: Kind) -> list[Result]:
    """B1: how fast a backlog leaves. It is made while the relay is held, which is not timed."""
    async with delivering(kind) as run:
        results = await in_turns(
            figure("B1", part(kind)),
            scale,
            raw_posts(run.load, run.sink, scale),
            lambda: drain(run.load, run.server, run.sink, scale.deliveries),
        )
        await run.server.check(scale.turns * scale.deliveries)
    return results


async def publishing(scale: Scale, kind: Kind) -> list[Result]:
    """B2: unary Publish. Each event is stored with a delivery, and the relay is held."""
    return await _against_empty_server(scale, kind, "B2", "publish", IN_FLIGHT)


async def streaming(scale: Scale, kind: Kind) -> list[Result]:
    """B4: one stream of events, each stored with a delivery, and the relay is held."""
    return await _against_empty_server(scale, kind, "B4", "stream", 1)


async def _against_empty_server(
    scale: Scale, kind: Kind, identity: str, load_name: str, in_flight: int
) -> list[Result]:
    async with (
        child("load") as load,
        child("empty_server") as empty,
        open_stores(kind) as new_store,
        held(await new_store()) as server,
    ):
        nothing = (await empty.ask())["address"]

        async def rate(address: str) -> float:
            count = scale.publishes
            return count / await seconds(
                load, load=load_name, address=address, count=count, in_flight=in_flight
            )

        what = figure(identity, part(kind))
        return await in_turns(what, scale, lambda: rate(nothing), lambda: rate(server.address))


async def batch_publishing(scale: Scale, kind: Kind) -> list[Result]:
    """B3: BatchPublish of 100 events, each stored with a delivery, and the relay is held."""
    count = scale.batches * BATCH
    async with (
        child("load") as load,
        child("raw_rows") as rows,
        open_stores(kind) as new_store,
    ):
        written = await new_store()
        async with held(written) as server:
            await publish_batches(load, server, count, lanes=1)
        # Only now: the limit has the rows that this very server writes.
        await _read_rows(rows, written)

        async def limit() -> float:
            return count / await seconds(rows)

        async with held(await new_store()) as server:

            async def ours() -> float:
                return count / await publish_batches(load, server, count, lanes=1)

            return await in_turns(figure("B3", part(kind)), scale, limit, ours)


async def _read_rows(rows: Child, store: Store) -> None:
    if isinstance(store, SqliteStore):
        await rows.ask(database=str(store.database))
    elif isinstance(store, PostgresStore):
        await rows.ask(url=store.url)


async def end_to_end(scale: Scale, kind: Kind) -> list[Result]:
    """B6: batches are published while their events are delivered."""
    async with delivering(kind) as run:

        async def ours() -> float:
            before = await run.sink.count()
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(publish_batches(run.load, run.server, scale.deliveries))
                arriving = group.create_task(arrival(run.sink, before, scale.deliveries, started))
            return arriving.result()

        limit = raw_posts(run.load, run.sink, scale)
        results = await in_turns(figure("B6", part(kind)), scale, limit, ours)
        await run.server.check(scale.turns * scale.deliveries)
    return results
