"""B11: what a delivery costs where four processes share the work, against one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.children import BenchmarkError, child, cpu_seconds, until
from benchmarks.figures import Result
from benchmarks.goals import figure
from benchmarks.measures.common import arrival, publish_batches, quiet
from benchmarks.server import Server, open_server
from benchmarks.sink import Sink, open_sink
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Scale, in_turns

LANES = 64
"""Enough that each process has some."""
IN_FLIGHT = 4
PROCESSES = 4
_OWNERS = "SELECT count(DISTINCT owner) FROM partitions WHERE owner <> ''"
_SMALLEST_SHARE = """
SELECT coalesce(min(count), 0) FROM (SELECT count(*) FROM partitions GROUP BY owner) AS shares
"""
PARTITIONS_OF_EACH = 48
SHARING_SECONDS = 60.0
PAUSE_SECONDS = 1.5
"""Until no process starts a request any more: they have one second to hear of a pause."""


async def processes(scale: Scale, kind: Kind) -> list[Result]:
    """Drain the same backlog by one process and by four, by turns; their CPU time is counted."""
    async with child("load") as load, open_sink() as sink, open_stores(kind) as new_store:

        async def milliseconds(servers: list[Server]) -> float:
            await servers[0].pause()
            await asyncio.sleep(PAUSE_SECONDS)
            await publish_batches(load, servers[0], scale.deliveries, lanes=LANES)
            return await _cost(servers, sink, scale.deliveries)

        # Who has nothing to do costs next to nothing.
        async with (
            _running(await _store(new_store, sink), 1) as one,
            _running(await _store(new_store, sink), PROCESSES) as four,
        ):
            results = await in_turns(
                figure("B11"), scale, lambda: milliseconds(one), lambda: milliseconds(four)
            )
            for servers in (one, four):
                await servers[0].check(scale.turns * scale.deliveries)
    return results


async def _store(new_store: NewStore, sink: Sink) -> Store:
    store = await new_store()
    async with open_server(store) as server:
        for lane in range(LANES):
            await server.subscribe(lane, sink.url(f"lane{lane}"), in_flight=IN_FLIGHT)
    return store


@asynccontextmanager
async def _running(store: Store, count: int) -> AsyncIterator[list[Server]]:
    """Run so many servers on one database, and wait until each has its share."""
    async with AsyncExitStack() as stack:
        servers = await asyncio.gather(
            *(stack.enter_async_context(open_server(store)) for _ in range(count))
        )

        async def is_shared() -> bool:
            owners, least = await store.value(_OWNERS), await store.value(_SMALLEST_SHARE)
            return owners == count and least >= PARTITIONS_OF_EACH

        await until(
            is_shared, f"{count} processes share the work", within=SHARING_SECONDS, every=0.2
        )
        yield list(servers)


async def _cost(servers: list[Server], sink: Sink, deliveries: int) -> float:
    """Let a backlog go; returns the CPU time of all servers for each delivery, in milliseconds."""
    before = await quiet(sink)
    begun = sum(cpu_seconds(server.process_id) for server in servers)
    await servers[0].resume()
    await arrival(sink, before, deliveries, 0.0)
    # Until all of it is on record too.
    if await quiet(sink) != before + deliveries:
        raise BenchmarkError("more requests have arrived than there were deliveries")
    used = sum(cpu_seconds(server.process_id) for server in servers) - begun
    return 1000 * used / deliveries
