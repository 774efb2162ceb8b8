"""What is asked before a request starts, on each storage, with the real relay."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import cast

from tests.harness.receiver import Receiver
from tests.harness.waiting import until
from tests.harness.world import World
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import Micros
from webhooks_server.ports import EventStore

Before = Callable[[], Coroutine[object, object, None]]


class SlowEvents:
    """A store of events in which something happens before each load."""

    def __init__(self, real: EventStore, before: Before) -> None:
        self._real = real
        self._before = before

    async def load(self, events: Sequence[EventSeq]) -> Sequence[Event]:
        await self._before()
        return await self._real.load(events)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def before_each_load(world: World, before: Before) -> None:
    events = cast("EventStore", SlowEvents(world.stores.events, before))
    world.stores = replace(world.stores, events=events)


async def test_what_is_taken_when_the_stop_begins_is_not_sent(
    world: World, receiver: Receiver
) -> None:
    loading, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        loading.set()
        await gate.wait()

    before_each_load(world, wait)
    await world.subscribe(receiver.url)
    async with world.engine(payload_cache_bytes=0) as engine:
        await world.publish(engine)
        await loading.wait()
        engine.stop_taking(5.0)
        gate.set()
    assert receiver.requests == []
    assert await world.pending() == 1


async def test_trouble_of_the_store_is_not_held_against_a_delivery(
    world: World, receiver: Receiver
) -> None:
    failures = 4

    async def fail() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable

    before_each_load(world, fail)
    await world.subscribe(receiver.url)
    async with world.engine(payload_cache_bytes=0) as engine:
        await world.publish(engine)
        await world.settled()
    (delivery,) = (
        await world.stores.deliveries.list(None, None, (), PageRequest(), full=True)
    ).items
    assert (delivery.state, delivery.attempt_count) == (DeliveryState.SUCCEEDED, 1)
    assert {name for name, _ in world.telemetry.faults} <= {
        "delivery.postponed",
        "lanes.unreadable",
    }
    world.telemetry.faults.clear()


async def test_a_manual_retry_is_sent_at_any_age(world: World, receiver: Receiver) -> None:
    policy = RetryPolicy(max_age=Micros(200_000))
    subscription = await world.subscribe(receiver.url, policy=policy)
    async with world.engine() as engine:
        accepted = await world.publish(engine)
        await world.settled()
        await asyncio.sleep(0.25)
        uid = accepted.deliveries[0].uid
        await world.stores.deliveries.retry(DEFAULT_TENANT, subscription.id, uid)
        engine.wake(subscription.number)
        await receiver.got(2)
        await world.settled()
    found = await world.stores.deliveries.get(DEFAULT_TENANT, subscription.id, uid, full=False)
    assert (found.state, found.attempt_count) == (DeliveryState.SUCCEEDED, 2)


async def test_an_attempt_that_ends_beyond_the_age_is_the_last(
    world: World, receiver: Receiver
) -> None:
    receiver.wait = 0.4
    policy = RetryPolicy(max_age=Micros(200_000))
    await world.subscribe(receiver.url, policy=policy, timeout=Micros(300_000))
    async with world.engine() as engine:
        await world.publish(engine)
        await world.settled()
        await until(lambda: bool(world.telemetry.facts))
    states = [fields["state"] for name, fields in world.telemetry.facts if "attempted" in name]
    assert states == ["expired"]
