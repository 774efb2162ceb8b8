"""What the engine makes of a store that fails, on each storage, with the real relay."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from tests.harness.failing import Moody, MoodyLeases
from tests.harness.receiver import Receiver
from tests.harness.waiting import until, until_async
from tests.harness.world import World
from webhooks_server.domain.delivery import Record, Trigger
from webhooks_server.domain.errors import RecordRefused, StoreUnavailable
from webhooks_server.domain.event import Event, Publish
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import Micros
from webhooks_server.ports import LaneStore, Leases, SubscriptionStore


class DriverError(Exception):
    """What a store hands through where it does not know better."""


def moody_lanes(world: World) -> Moody:
    made = Moody(world.stores.lanes)
    world.stores = replace(world.stores, lanes=cast("LaneStore", made))
    return made


def moody_subscriptions(world: World) -> Moody:
    made = Moody(world.stores.subscriptions)
    world.stores = replace(world.stores, subscriptions=cast("SubscriptionStore", made))
    return made


def expected(world: World, *names: str) -> None:
    """Check that just these faults were told, once or more often."""
    assert {name for name, _ in world.telemetry.faults} == set(names)
    world.telemetry.faults.clear()


async def test_a_record_that_the_store_refuses_stops_nobody(
    world: World, receiver: Receiver
) -> None:
    lanes = moody_lanes(world)
    await world.subscribe(receiver.url)
    first, bad, last = await world.append("a", [b"1", b"2", b"3"])
    uid = bad.deliveries[0].uid

    def refuse(records: Sequence[Record]) -> None:
        if any(record.uid == uid for record in records):
            raise DriverError

    lanes.before["record"] = refuse
    async with world.engine() as engine:
        engine.accepted([first, bad, last])
        await receiver.got(3)

        async def only_the_bad_one_is_left() -> bool:
            return await world.pending() == 1

        await until_async(only_the_bad_one_is_left)
        await world.publish(engine)
        await receiver.got(4)
        await until_async(only_the_bad_one_is_left)
        # It is not sent again and again.
        assert receiver.ids.count(bad.event.id) == 1
    expected(world, "record.refused")


async def test_who_waits_for_a_refused_record_is_told(world: World, receiver: Receiver) -> None:
    lanes = moody_lanes(world)
    lanes.fail("record", DriverError())
    subscription = await world.subscribe(receiver.url)
    event = Event(
        tenant=DEFAULT_TENANT,
        id=world.ids.event(),
        event_type="webhooks.ping",
        payload=b"{}",
        payload_size=2,
        is_json=True,
        content_type="application/json",
    )
    publish = Publish(
        tenant=DEFAULT_TENANT,
        events=(event,),
        only=subscription.number,
        trigger=Trigger.PING,
        first_due_delay=25_000_000,
    )
    async with world.engine() as engine:
        (accepted,) = await world.stores.events.append(publish)
        with pytest.raises(RecordRefused):
            await asyncio.wait_for(engine.send_now(subscription, accepted), 5)
    expected(world, "record.refused")


async def test_nothing_is_sent_on_old_control_data(world: World, receiver: Receiver) -> None:
    subscriptions = moody_subscriptions(world)
    await world.subscribe(receiver.url)
    async with world.engine(beat_interval=0.02, stale_after=0.1) as engine:
        await world.publish(engine)
        await receiver.got(1)
        subscriptions.fail("changes", StoreUnavailable())
        await asyncio.sleep(0.15)
        await world.publish(engine)
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 1
        subscriptions.heal("changes")
        await receiver.got(2)
        await world.settled()
    expected(world, "engine.loop_failed")


async def test_loops_outlive_what_no_store_should_raise(world: World, receiver: Receiver) -> None:
    lanes, subscriptions = moody_lanes(world), moody_subscriptions(world)
    await world.subscribe(receiver.url)
    async with world.engine(beat_interval=0.02, backstop_partitions=256) as engine:
        for name in ("find", "due", "fan_outs"):
            lanes.fail(name, DriverError())
        subscriptions.fail("changes", DriverError())
        engine.changed()
        # Nobody tells the engine of this one: it must be found and read.
        await world.publish(None)
        await asyncio.sleep(0.1)
        for name in ("find", "due", "fan_outs"):
            lanes.heal(name)
        subscriptions.heal("changes")
        await world.publish(engine)
        await world.settled(10)
    assert len(receiver.requests) == 2
    assert {name for name, _ in world.telemetry.faults} >= {"engine.loop_failed"}
    world.telemetry.faults.clear()


async def test_a_lane_that_cannot_be_read_does_not_keep_others_from_it(
    world: World, receiver: Receiver
) -> None:
    lanes = moody_lanes(world)
    poison = await world.subscribe(receiver.url + "/poison")
    await world.subscribe(receiver.url + "/fine")
    await world.publish(None)

    def refuse(reads: Sequence[LaneRead]) -> None:
        if any(read.subscription == poison.number for read in reads):
            raise DriverError

    lanes.before["due"] = refuse
    async with world.engine():
        (request,) = await receiver.got(1)
        assert request.path == "/hook/fine"
        await until(lambda: bool(world.telemetry.faults))
        lanes.heal("due")
        await receiver.got(2)
        await world.settled()
    expected(world, "lanes.unreadable")


async def test_what_was_sent_is_recorded_once_the_store_is_back(
    world: World, receiver: Receiver
) -> None:
    lanes = moody_lanes(world)
    await world.subscribe(receiver.url)
    async with world.engine(slots=2) as engine:
        lanes.fail("record", StoreUnavailable())
        engine.accepted(await world.append("a", [b"1"] * 20))
        await until(lambda: bool(world.telemetry.faults))
        await asyncio.sleep(0.2)
        assert len(receiver.requests) <= 4
        lanes.heal("record")
        await world.settled(10)
    assert len(receiver.requests) == len(set(receiver.ids)) == 20
    expected(world, "records.waiting")


@pytest.mark.parametrize("sent", [True, False])
async def test_an_engine_stops_also_while_the_store_is_away(
    world: World, receiver: Receiver, *, sent: bool
) -> None:
    lanes = moody_lanes(world)
    leases = MoodyLeases(world.stores.leases)
    world.stores = replace(world.stores, leases=cast("Leases", leases))
    await world.subscribe(receiver.url)
    async with world.engine(stop_grace=0.1) as engine:
        for name in ("record", "find", "due"):
            lanes.fail(name, StoreUnavailable())
        leases.fail("leave", StoreUnavailable())
        if sent:
            await world.publish(engine)
            await receiver.got(1)
    assert "engine.stopped_dirty" in {name for name, _ in world.telemetry.faults}
    world.telemetry.faults.clear()
    for name in ("record", "find", "due"):
        lanes.heal(name)
    leases.failing.clear()
    async with world.engine():
        await world.settled()
    assert len(set(receiver.ids)) == int(sent)


# Making 1,001 subscriptions is what takes long, and on a disk much longer.
@pytest.mark.parametrize("world", ["memory"], indirect=True)
async def test_a_fan_out_that_fails_holds_up_no_other(world: World) -> None:
    lanes = moody_lanes(world)
    for number in range(1001):
        await world.subscribe(f"http://127.0.0.1:9/{number}")
    await world.stores.control.pause_relay("", "so that nothing is sent")
    bad, _ = await world.publish(None), await world.publish(None)

    def refuse(event: int) -> None:
        if event == bad.event.seq:
            raise DriverError

    async def are_made(count: int) -> bool:
        return await world.pending() == count

    lanes.before["fan_out"] = refuse
    async with world.engine():
        await until_async(lambda: are_made(1001))
        lanes.heal("fan_out")
        await until_async(lambda: are_made(2002))
    expected(world, "fan_out.failed")


async def test_the_back_stop_goes_on_behind_a_partition_that_fails(
    world: World, receiver: Receiver
) -> None:
    lanes = moody_lanes(world)
    subscriptions = [await world.subscribe(f"{receiver.url}/{number}") for number in range(2)]
    low, high = sorted(subscriptions, key=lambda one: one.partition)
    async with world.engine(backstop_interval=0.001, backstop_partitions=1):
        # All lanes are found by then, each partition by itself.
        await until(lambda: lanes.count("find") > 300, 20)

        def refuse(partitions: Sequence[int]) -> None:
            if low.partition in partitions:
                raise DriverError

        lanes.before["find"] = refuse
        await until(lambda: bool(world.telemetry.faults), 20)
        await world.publish(None)
        (request,) = await receiver.got(1, 20)
        assert request.path == f"/hook/{subscriptions.index(high)}"
        lanes.heal("find")
        await receiver.got(2, 20)
        await world.settled()
    expected(world, "engine.loop_failed")


async def test_a_lower_max_age_moves_the_expiry(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    subscription = await world.subscribe(receiver.url)
    async with world.engine(backstop_interval=60.0) as engine:
        await world.publish(engine)
        await receiver.got(1)
        await until(lambda: engine.status()[0].in_flight == 0)
        await world.change(subscription, retry_policy=RetryPolicy(max_age=Micros(400_000)))
        engine.changed()
        await world.settled(3)
    assert (await world.stores.deliveries.counts(None)).expired == 1
    assert len(receiver.requests) == 1


async def test_a_store_that_cannot_be_read_for_too_long_is_not_ready(world: World) -> None:
    subscriptions = moody_subscriptions(world)
    async with world.engine(beat_interval=0.05, stale_after=0.2) as engine:
        readiness = engine.readiness()
        assert await anext(readiness)
        subscriptions.fail("changes", StoreUnavailable())
        async with asyncio.timeout(5):
            assert not await anext(readiness)
        subscriptions.heal("changes")
        async with asyncio.timeout(5):
            assert await anext(readiness)
    expected(world, "engine.loop_failed")
