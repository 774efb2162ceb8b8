"""B10 and G13: one event has a delivery for each of very many subscriptions."""

import asyncio
import random
import time
from statistics import median

from benchmarks.children import BenchmarkError, Child, child, until
from benchmarks.figures import Result
from benchmarks.filling import add_subscriptions
from benchmarks.goals import MOST_IN_FLIGHT
from benchmarks.measures.common import arrival, identity_of, quiet
from benchmarks.server import Server, open_server
from benchmarks.sink import Sink, open_sink
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Scale, ratio_of, value_of

EVENT = "bench.all.tick"
OTHERS_LANE = 0
OTHERS_RATE = 300.0
LONGEST_STEP = 0.15
"""How long a server that is about to be killed goes on with its fan-out, in seconds."""
_OWED = "SELECT count(*) FROM fanouts"
_POSITION = "SELECT coalesce(sum(position), -1) FROM fanouts"


async def fan_out(scale: Scale, kind: Kind) -> list[Result]:
    """Measure fan-outs beside other events, and then kill servers in the middle of them."""
    identity = identity_of(kind, "B10", "G13")
    async with (
        child("paced") as pacer,
        open_sink() as sink,
        open_stores(kind) as new_store,
    ):
        others = f"http://127.0.0.1:{(await pacer.ask())['port']}/hook"
        store = await _crowd(new_store, others, sink, scale)
        async with open_server(store) as server:
            beside = await _beside_others(
                identity, _Beside(pacer, server, store, scale.others_seconds), scale
            )
        await quiet(sink)
        store = await _crowd(new_store, others, sink, scale)
        return [*beside, await _killed(identity, store, sink, scale)]


async def _crowd(new_store: NewStore, others: str, sink: Sink, scale: Scale) -> Store:
    """Return a store with one subscription for other events, and a crowd of them for ours."""
    store = await new_store()
    async with open_server(store) as server:
        await server.subscribe(OTHERS_LANE, others, in_flight=100)
    await add_subscriptions(
        store, (2, 1 + scale.crowd), event_type="bench.all.*", url=sink.url("all{}")
    )
    return store


class _Beside:
    """A server that other events come to, at a steady rate."""

    def __init__(self, pacer: Child, server: Server, store: Store, seconds: float) -> None:
        self._pacer = pacer
        self._server = server
        self._store = store
        self._seconds = seconds

    async def others(self) -> float:
        """Publish other events for a while; returns the p99 until they were received."""
        answer = await self._pacer.ask(
            address=self._server.address,
            rate=OTHERS_RATE,
            seconds=self._seconds,
            first_lane=OTHERS_LANE,
            last_lane=OTHERS_LANE,
        )
        if answer["wrong"]:
            raise BenchmarkError(f"of events at a steady rate: {answer['wrong']}")
        return float(answer["p99"])

    async def one(self) -> tuple[float, float]:
        """Publish one of ours; returns the seconds until the answer, and until its last row."""
        started = time.perf_counter()
        await self._server.publish(EVENT)
        answered = time.perf_counter() - started
        await until(lambda: _is_done(self._store), "a fan-out is done", every=0.02)
        return answered, time.perf_counter() - started

    async def check(self, deliveries: int) -> None:
        """Raise BenchmarkError unless all deliveries are there."""
        books = await self._server.books()
        if books.violations or books.delivery_count != deliveries:
            raise BenchmarkError(f"{deliveries} deliveries were made; the audit says {books}")


async def _beside_others(identity: str, beside: _Beside, scale: Scale) -> list[Result]:
    """Publish ours one after the other, each among others."""
    await beside.others()
    before = await beside.others()
    answers, rows, during = [], [], []
    for number in range(scale.fan_outs):
        others = asyncio.create_task(beside.others())
        await asyncio.sleep(scale.others_seconds / 10)
        answered, done = await beside.one()
        answers.append(1000 * answered)
        rows.append(done)
        during.append(await others)
        print(
            f"{identity}  fan-out {number + 1} of {scale.fan_outs}: answered in"
            f" {answers[-1]:.1f} ms, rows in {done:.2f} s, p99 of others {during[-1]:.1f} ms"
        )
    others_count = int((scale.fan_outs + 2) * OTHERS_RATE * scale.others_seconds)
    await beside.check(scale.fan_outs * scale.crowd + others_count)
    # Of so few, the worst is the 99th percentile.
    return [
        value_of((identity, "ack"), max(answers), scale),
        value_of((identity, "rows"), max(rows), scale),
        ratio_of((identity, "others"), median(during), before, scale),
    ]


async def _killed(identity: str, store: Store, sink: Sink, scale: Scale) -> Result:
    """Kill servers in the middle of a fan-out; raises BenchmarkError unless its rows are exact."""
    before, events = await sink.count(), 0
    for number in range(scale.kills):
        async with open_server(store) as server:
            if await _is_done(store):
                await server.publish(EVENT)
                events += 1
            await _until_it_moves(store)
            await asyncio.sleep(random.uniform(0.0, LONGEST_STEP))
            await server.kill()
        owed = await store.value(_OWED)
        print(f"{identity}  kill {number + 1} of {scale.kills}: {'inside' if owed else 'after'}")
    expected = events * scale.crowd
    async with open_server(store) as server:
        await arrival(sink, before, expected, time.perf_counter())
        await server.check(expected)
    twice = await quiet(sink) - before - expected
    if not 0 <= twice <= scale.kills * MOST_IN_FLIGHT:
        raise BenchmarkError(f"{twice} requests more than deliveries after {scale.kills} kills")
    return value_of((identity, "twice"), twice, scale)


async def _until_it_moves(store: Store) -> None:
    begun = await store.value(_POSITION)

    async def has_moved() -> bool:
        return await store.value(_POSITION) != begun

    await until(has_moved, "a fan-out goes on", every=0.005)


async def _is_done(store: Store) -> bool:
    return await store.value(_OWED) == 0
