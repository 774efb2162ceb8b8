"""B5, B8 and B12 of a server that has little to do: how long one event takes, memory, the start."""

import asyncio
import time
from collections.abc import Mapping
from statistics import median

from benchmarks.children import child, resident_mebibytes
from benchmarks.figures import Result
from benchmarks.load import BATCH
from benchmarks.measures.common import part, publish_batches
from benchmarks.server import open_server
from benchmarks.sink import open_sink
from benchmarks.stores import Kind, open_stores
from benchmarks.turns import Scale, ratio_of, value_of

SETTLING_SECONDS = 2.0


async def latency(scale: Scale, kind: Kind) -> list[Result]:
    """B5: one event at a time, from the call until the receiver has it, by turns with the limit."""
    async with (
        child("latency") as both_ends,
        child("empty_server") as empty,
        open_sink() as sink,
        open_stores(kind) as new_store,
        open_server(await new_store()) as server,
    ):
        port = (await both_ends.ask())["port"]
        await server.subscribe(0, f"http://127.0.0.1:{port}/hook")
        print(f"B5  {scale.latencies} events, one at a time")
        measured = await both_ends.ask(
            count=scale.latencies,
            server=server.address,
            empty=(await empty.ask())["address"],
            sink=sink.url("hook"),
        )
    return _latency_results({name: float(text) * 1000 for name, text in measured.items()}, scale)


def _latency_results(measured: Mapping[str, float], scale: Scale) -> list[Result]:
    results = []
    for name, suffix in (("median", ""), ("p99", "_p99")):
        ours, limit = measured["ours" + suffix], measured["limit" + suffix]
        results += [
            ratio_of(("B5", name), ours, limit, scale),
            value_of(("B5", f"{name} time"), ours, scale),
        ]
    return results


async def memory(scale: Scale, kind: Kind) -> list[Result]:
    """B8, the idle part: a server that has delivered something, and now has nothing to do."""
    async with (
        child("load") as load,
        open_sink() as sink,
        open_stores(kind) as new_store,
        open_server(await new_store()) as server,
    ):
        await server.subscribe(0, sink.url("lane0"))
        await publish_batches(load, server, BATCH, lanes=1)
        await server.check(BATCH)
        await asyncio.sleep(SETTLING_SECONDS)
        resident = resident_mebibytes(server.process_id)
    return [value_of(("B8", part(kind, "idle")), resident, scale)]


async def starting(scale: Scale, kind: Kind) -> list[Result]:
    """B12: from starting the process to the first RPC that it serves."""
    async with open_stores(kind) as new_store:
        store = await new_store()
        async with open_server(store):
            pass
        times = []
        for number in range(scale.starts):
            started = time.perf_counter()
            async with open_server(store):
                times.append(time.perf_counter() - started)
            print(f"B12  start {number + 1} of {scale.starts}: {times[-1]:.2f} s")
    return [value_of(("B12", ""), median(times), scale)]
