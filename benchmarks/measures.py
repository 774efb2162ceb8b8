"""What is done for each figure."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from benchmarks.children import Child, child, resident_mebibytes, until
from benchmarks.figures import Result, figure
from benchmarks.load import BATCH
from benchmarks.server import Server, open_server
from benchmarks.sink import Sink, open_sink
from benchmarks.turns import Scale, in_turns

LANES = 8
IN_FLIGHT = 64
BATCHES_IN_FLIGHT = 4
SETTLING_SECONDS = 2.0


async def draining(scale: Scale) -> list[Result]:
    """B1: how fast a backlog leaves. It is made while the relay is held, which is not timed."""
    async with _delivering() as (load, server, sink):

        async def ours() -> float:
            await server.pause()
            await _publish_batches(load, server, scale.deliveries)
            before = await sink.count()
            started = time.perf_counter()
            await server.resume()
            return await _rate_of_arrival(sink, before, scale.deliveries, started)

        results = await in_turns("B1", scale, _raw_posts(load, sink, scale), ours)
        await server.check(scale.turns * scale.deliveries)
    return results


async def publishing(scale: Scale) -> list[Result]:
    """B2: unary Publish. Each event is stored with a delivery, and the relay is held."""
    async with child("load") as load, child("empty_server") as empty, _held() as server:
        nothing = (await empty.ask())["address"]

        async def rate(address: str) -> float:
            count = scale.publishes
            return count / await _seconds(
                load, load="publish", address=address, count=count, in_flight=IN_FLIGHT
            )

        return await in_turns("B2", scale, lambda: rate(nothing), lambda: rate(server.address))


async def batch_publishing(scale: Scale) -> list[Result]:
    """B3: BatchPublish of 100 events, each stored with a delivery, and the relay is held."""
    count = scale.batches * BATCH
    async with child("load") as load, child("raw_rows") as rows, _folder() as folder:
        async with _held(folder) as server:
            await _publish_batches(load, server, count, lanes=1)
        # Only now: no other process may open a database that a server owns.
        (database,) = (folder / "data").glob("*.db")
        await rows.ask(database=str(database))

        async def limit() -> float:
            return count / await _seconds(rows)

        async with _held() as server:

            async def ours() -> float:
                return count / await _publish_batches(load, server, count, lanes=1)

            return await in_turns("B3", scale, limit, ours)


async def streaming(scale: Scale) -> list[Result]:
    """B4: one stream of events, each stored with a delivery, and the relay is held."""
    async with child("load") as load, child("empty_server") as empty, _held() as server:
        nothing = (await empty.ask())["address"]

        async def rate(address: str) -> float:
            count = scale.publishes
            return count / await _seconds(
                load, load="stream", address=address, count=count, in_flight=1
            )

        return await in_turns("B4", scale, lambda: rate(nothing), lambda: rate(server.address))


async def latency(scale: Scale) -> list[Result]:
    """B5: one event at a time, from the call until the receiver has it, by turns with the limit."""
    async with (
        child("latency") as both_ends,
        child("empty_server") as empty,
        open_sink() as sink,
        _folder() as folder,
        open_server(folder) as server,
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


async def end_to_end(scale: Scale) -> list[Result]:
    """B6: batches are published while their events are delivered."""
    async with _delivering() as (load, server, sink):

        async def ours() -> float:
            before = await sink.count()
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(_publish_batches(load, server, scale.deliveries))
                arriving = group.create_task(
                    _rate_of_arrival(sink, before, scale.deliveries, started)
                )
            return arriving.result()

        results = await in_turns("B6", scale, _raw_posts(load, sink, scale), ours)
        await server.check(scale.turns * scale.deliveries)
    return results


async def memory(scale: Scale) -> list[Result]:
    """B8, the idle part: a server that has delivered something, and now has nothing to do."""
    async with (
        child("load") as load,
        open_sink() as sink,
        _folder() as folder,
        open_server(folder) as server,
    ):
        await server.subscribe(0, sink.url("lane0"))
        await _publish_batches(load, server, BATCH, lanes=1)
        await server.check(BATCH)
        await asyncio.sleep(SETTLING_SECONDS)
        resident = resident_mebibytes(server.process_id)
    print(f"B8  idle: {resident:.1f} MiB")
    return [_value("B8", "idle", resident, scale)]


async def starting(scale: Scale) -> list[Result]:
    """B12: from starting the process to the first RPC that it serves."""
    async with _folder() as folder:
        async with open_server(folder):
            pass
        times = []
        for number in range(scale.starts):
            started = time.perf_counter()
            async with open_server(folder):
                times.append(time.perf_counter() - started)
            print(f"B12  start {number + 1} of {scale.starts}: {times[-1]:.2f} s")
    return [_value("B12", "", median(times), scale)]


MEASURES: Mapping[str, Callable[[Scale], Awaitable[list[Result]]]] = {
    "B1": draining,
    "B2": publishing,
    "B3": batch_publishing,
    "B4": streaming,
    "B5": latency,
    "B6": end_to_end,
    "B8": memory,
    "B12": starting,
}


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


@asynccontextmanager
async def _held(folder: Path | None = None) -> AsyncIterator[Server]:
    """Run a server with one subscription and its relay held."""
    async with _folder() as own, open_server(folder or own) as server:
        await server.subscribe(0, "http://127.0.0.1:9/never")
        await server.pause()
        yield server


@asynccontextmanager
async def _delivering() -> AsyncIterator[tuple[Child, Server, Sink]]:
    """Run a server that delivers to a sink: eight subscriptions, 64 requests at once in all."""
    async with (
        child("load") as load,
        open_sink() as sink,
        _folder() as folder,
        open_server(folder) as server,
    ):
        for lane in range(LANES):
            await server.subscribe(lane, sink.url(f"lane{lane}"), in_flight=IN_FLIGHT // LANES)
        yield load, server, sink


def _raw_posts(load: Child, sink: Sink, scale: Scale) -> Callable[[], Awaitable[float]]:
    urls = " ".join(sink.url(f"lane{lane}") for lane in range(LANES))

    async def rate() -> float:
        count = scale.deliveries
        return count / await _seconds(
            load, load="posts", urls=urls, count=count, in_flight=IN_FLIGHT
        )

    return rate


async def _publish_batches(load: Child, server: Server, events: int, lanes: int = LANES) -> float:
    return await _seconds(
        load,
        load="batches",
        address=server.address,
        lanes=lanes,
        count=events // BATCH,
        in_flight=BATCHES_IN_FLIGHT,
    )


async def _rate_of_arrival(sink: Sink, before: int, count: int, started: float) -> float:
    async def is_there() -> bool:
        return await sink.count() - before >= count

    await until(is_there, f"{count} requests have arrived")
    return count / (time.perf_counter() - started)


async def _seconds(helper: Child, **command: str | float) -> float:
    return float((await helper.ask(**command))["seconds"])


def _value(identity: str, part: str, measured: float, scale: Scale) -> Result:
    what = figure(identity, part)
    return Result(figure=what, measured=measured, ours=measured, quick=scale.quick)


def _latency_results(measured: Mapping[str, float], scale: Scale) -> list[Result]:
    results = []
    for part, suffix in (("median", ""), ("p99", "_p99")):
        ours, limit = measured["ours" + suffix], measured["limit" + suffix]
        results += [
            Result(
                figure=figure("B5", part),
                measured=ours / limit,
                ours=ours,
                limit=limit,
                quick=scale.quick,
            ),
            _value("B5", f"{part} time", ours, scale),
        ]
    return results
