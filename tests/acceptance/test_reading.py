"""How often the engine asks the store, on each storage, with the real relay."""

import asyncio
from dataclasses import replace
from typing import cast

from tests.harness.failing import Moody
from tests.harness.receiver import Receiver
from tests.harness.waiting import until
from tests.harness.world import World
from webhooks_server.ports import EventStore, LaneStore, SubscriptionStore


async def test_a_fan_out_to_many_reads_their_subscriptions_together(
    world: World, receiver: Receiver
) -> None:
    for number in range(100):
        await world.subscribe(f"{receiver.url}/{number}")
    subscriptions = Moody(world.stores.subscriptions)
    world.stores = replace(world.stores, subscriptions=cast("SubscriptionStore", subscriptions))
    async with world.engine() as engine:
        await world.publish(engine)
        await receiver.got(100)
        await world.settled()
    assert subscriptions.count("load") < 20


async def test_a_backlog_of_large_events_is_read_in_parts(world: World, receiver: Receiver) -> None:
    await world.subscribe(receiver.url)
    await world.append("a", [b"%05d" % number + b"x" * 65_531 for number in range(60)])
    events = Moody(world.stores.events)
    world.stores = replace(world.stores, events=cast("EventStore", events))
    async with world.engine(payload_cache_bytes=2_000_000):
        await receiver.got(60)
        await world.settled()
    numbers = [len(asked) for asked in events.asked("load")]
    assert max(numbers) <= 16
    # Few are read twice: what is read ahead is not pushed out before it is sent.
    assert sum(numbers) <= 90


async def test_a_start_reads_no_lane_that_has_nothing_to_do(
    world: World, receiver: Receiver
) -> None:
    for number in range(20):
        await world.subscribe(f"{receiver.url}/{number}", "a" if number else "b")
    await world.append("b", [b"1"])
    lanes = Moody(world.stores.lanes)
    world.stores = replace(world.stores, lanes=cast("LaneStore", lanes))
    async with world.engine(backstop_interval=60.0):
        await receiver.got(1)
        await world.settled()
        await asyncio.sleep(0.05)
    assert [len(reads) for reads in lanes.asked("due")] == [1]


async def test_a_pass_asks_again_only_for_what_it_covers(world: World, receiver: Receiver) -> None:
    receiver.wait = 0.3
    await world.subscribe(receiver.url)
    lanes = Moody(world.stores.lanes)
    world.stores = replace(world.stores, lanes=cast("LaneStore", lanes))
    async with world.engine(backstop_interval=60.0) as engine:
        await until(lambda: sum(len(partitions) for partitions in lanes.asked("find")) == 256)
        await world.publish(None)
        # An engine knows when a row was due but for the time that reading it took.
        await asyncio.sleep(0.2)
        lanes.calls.clear()
        result = await engine.notify(None)
    assert result.succeeded == 1
    first, *others = lanes.asked("find")
    assert len(first) == 256
    assert {len(partitions) for partitions in others} == {1}
    assert len(others) <= 5
    assert lanes.count("due") == 1
