"""What several measures do: servers that hold or deliver, loads, and waiting for arrivals."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.children import BenchmarkError, Child, child, resident_mebibytes, until
from benchmarks.load import BATCH
from benchmarks.server import Server, open_server
from benchmarks.sink import Sink, open_sink
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Measured, Scale

LANES = 8
IN_FLIGHT = 64
BATCHES_IN_FLIGHT = 4
NOWHERE = "http://127.0.0.1:9/never"


def part(kind: Kind, name: str = "") -> str:
    """Return the part of a figure that is measured on both kinds of stores."""
    return " ".join(word for word in (name, "pg" if kind == "postgres" else "") if word)


def identity_of(kind: Kind, on_sqlite: str, on_postgres: str) -> str:
    """Return the id of a figure that has one on each kind of store."""
    return on_sqlite if kind == "sqlite" else on_postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """A server that delivers to a sink, and who loads both."""

    load: Child
    server: Server
    sink: Sink
    new_store: NewStore


@asynccontextmanager
async def delivering(kind: Kind) -> AsyncIterator[Delivering]:
    """Run a server that delivers: eight subscriptions, 64 requests at once in all."""
    async with (
        child("load") as load,
        open_sink() as sink,
        open_stores(kind) as new_store,
        open_server(await new_store()) as server,
    ):
        await subscribe_lanes(server, sink)
        yield Delivering(load=load, server=server, sink=sink, new_store=new_store)


async def subscribe_lanes(server: Server, sink: Sink, lanes: int = LANES) -> None:
    """Make subscriptions that share 64 requests at once; their numbers are 1 and on."""
    for lane in range(lanes):
        await server.subscribe(lane, sink.url(f"lane{lane}"), in_flight=max(1, IN_FLIGHT // lanes))


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[Server]:
    """Run a server with one subscription and its relay held."""
    async with open_server(store) as server:
        await server.subscribe(0, NOWHERE)
        await server.pause()
        yield server


def raw_posts(load: Child, sink: Sink, scale: Scale) -> Measured:
    """Return the limit of all deliveries: so many POSTs a second by aiohttp alone."""
    urls = " ".join(sink.url(f"lane{lane}") for lane in range(LANES))

    async def rate() -> float:
        count = scale.deliveries
        return count / await seconds(
            load, load="posts", urls=urls, count=count, in_flight=IN_FLIGHT
        )

    return rate


async def publish_batches(load: Child, server: Server, events: int, lanes: int = LANES) -> float:
    """Publish events in batches; returns the seconds."""
    return await seconds(
        load,
        load="batches",
        address=server.address,
        lanes=lanes,
        count=events // BATCH,
        in_flight=BATCHES_IN_FLIGHT,
    )


async def arrival(sink: Sink, before: int, count: int, started: float) -> float:
    """Wait until so many requests have come since `before` of them; returns them by the second."""
    # A server that goes half a minute without any is broken, and no slow one.
    seen, moved = before, time.perf_counter()
    while seen - before < count:
        await asyncio.sleep(0.01)
        now_seen = await sink.count()
        if now_seen > seen:
            seen, moved = now_seen, time.perf_counter()
        elif time.perf_counter() - moved > 30:
            raise BenchmarkError(f"{seen - before} of {count} requests have arrived, no more come")
    return count / (time.perf_counter() - started)


async def quiet(sink: Sink) -> int:
    """Wait until nothing arrives any more; returns how many requests have come in all."""
    last = -1

    async def is_quiet() -> bool:
        nonlocal last
        before, last = last, await sink.count()
        return before == last

    await until(is_quiet, "no request arrives any more", every=0.5)
    return last


async def drain(load: Child, server: Server, sink: Sink, deliveries: int) -> float:
    """Make a backlog while the relay is held, and let it go; returns deliveries a second."""
    await server.pause()
    await publish_batches(load, server, deliveries)
    before = await sink.count()
    started = time.perf_counter()
    await server.resume()
    return await arrival(sink, before, deliveries, started)


async def seconds(helper: Child, **command: str | float) -> float:
    """Have a helper do something; returns how long that took."""
    return float((await helper.ask(**command))["seconds"])


class MemoryWatch:
    """Looks at the memory of a process twice a second."""

    def __init__(self) -> None:
        self.series: list[tuple[float, float]] = []

    async def watch(self, process_id: int) -> None:
        """Look until cancelled."""
        started = time.perf_counter()
        while True:
            now = round(time.perf_counter() - started, 1)
            self.series.append((now, round(resident_mebibytes(process_id), 1)))
            await asyncio.sleep(0.5)

    @property
    def most(self) -> float:
        """The most that was seen, in MiB."""
        return max(mebibytes for _, mebibytes in self.series)


@asynccontextmanager
async def memory_of(server: Server) -> AsyncIterator[MemoryWatch]:
    """Watch the memory of a server as long as the block runs."""
    watch = MemoryWatch()
    watching = asyncio.create_task(watch.watch(server.process_id))
    try:
        yield watch
    finally:
        watching.cancel()
        await asyncio.wait([watching])
