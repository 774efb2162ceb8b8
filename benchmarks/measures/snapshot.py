"""G26: somebody holds a snapshot of the database, so that nothing dead can be cleared away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.children import BenchmarkError, child
from benchmarks.figures import Result
from benchmarks.measures.common import LANES, Delivering, publish_batches, quiet, subscribe_lanes
from benchmarks.server import open_server
from benchmarks.sink import open_sink
from benchmarks.stores import Kind, PostgresStore, Store, open_stores
from benchmarks.turns import Scale, ratio_of

PARTS = 6
"""Of the time in which the snapshot is held; before it is held there are two."""
FREE_PARTS = 2
FEW = 2_000
"""Events that are published ahead of what has been delivered, so that the queue stays short."""
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"


async def snapshot(scale: Scale, kind: Kind) -> list[Result]:
    """Count deliveries a second by parts of the time, before and while a snapshot is held."""
    async with (
        child("load") as load,
        open_sink() as sink,
        open_stores(kind) as new_store,
    ):
        store = await new_store()
        async with open_server(store) as server:
            await subscribe_lanes(server, sink)
            run = Delivering(load=load, server=server, sink=sink, new_store=new_store)
            rates, published = await _rates(run, store, scale)
            await server.check(published)
    free, first, last = max(rates[:FREE_PARTS]), rates[FREE_PARTS], rates[-1]
    seconds = scale.snapshot_seconds / PARTS
    series = tuple(
        (round((number - FREE_PARTS) * seconds, 1), round(rate))
        for number, rate in enumerate(rates)
    )
    return [
        ratio_of(("G26", "flat"), last, first, scale, series),
        ratio_of(("G26", "kept"), last, free, scale),
    ]


async def _rates(run: Delivering, store: Store, scale: Scale) -> tuple[list[float], int]:
    """Return the deliveries a second of each part, and how many events were published in all."""
    feeder = _Feeder(run)
    feeding = asyncio.create_task(feeder.feed())
    seconds = scale.snapshot_seconds / PARTS
    try:
        # The first part is for warming up.
        rates = [await _rate(run, seconds, feeding) for _ in range(1 + FREE_PARTS)][1:]
        async with _held_snapshot(store):
            for number in range(PARTS):
                rates.append(await _rate(run, seconds, feeding))
                print(f"G26  part {number + 1} of {PARTS}: {rates[-1]:,.0f} deliveries/s")
    finally:
        feeder.ended = True
        await feeding
    await quiet(run.sink)
    return rates, feeder.published


class _Feeder:
    """Publishes as fast as is delivered."""

    def __init__(self, run: Delivering) -> None:
        self._run = run
        self.published = 0
        self.ended = False

    async def feed(self) -> None:
        """Publish until it is ended."""
        while not self.ended:
            if self.published - await self._run.sink.count() >= FEW:
                await asyncio.sleep(0.01)
                continue
            await publish_batches(self._run.load, self._run.server, FEW // 2, LANES)
            self.published += FEW // 2


async def _rate(run: Delivering, seconds: float, feeding: "asyncio.Task[None]") -> float:
    before, started = await run.sink.count(), time.perf_counter()
    await asyncio.sleep(seconds)
    if feeding.done():
        raise BenchmarkError("nothing is published any more")
    return (await run.sink.count() - before) / (time.perf_counter() - started)


@asynccontextmanager
async def _held_snapshot(store: Store) -> AsyncIterator[None]:
    if not isinstance(store, PostgresStore):
        raise BenchmarkError("only PostgreSQL has snapshots that somebody else can hold")
    async with store.connection() as connection:
        await connection.execute(_SNAPSHOT)
        await connection.fetchval("SELECT count(*) FROM control")
        yield
        await connection.execute("COMMIT")
