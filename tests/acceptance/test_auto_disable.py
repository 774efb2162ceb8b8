"""A subscription whose receiver only fails is disabled in the end (api.md 2.3)."""

import asyncio
import json

import pytest

from tests.harness.receiver import Receiver
from tests.harness.shelf import event, publish_of
from tests.harness.waiting import until
from tests.harness.world import World
from webhooks_server.domain.delivery import Trigger
from webhooks_server.domain.subscription import DisableReason, RetryPolicy, State, Subscription
from webhooks_server.engine import RunningEngine

ONCE = RetryPolicy(max_attempts=1)
LONG = 3600.0


async def read(world: World, subscriber: Subscription) -> Subscription:
    return await world.stores.subscriptions.get(subscriber.tenant, subscriber.id)


async def send(world: World, engine: RunningEngine, count: int) -> None:
    for _ in range(count):
        await world.publish(engine)
    await world.settled()
    # What follows from a record is asked for by its answer.
    await asyncio.sleep(0.05)


def disabled(world: World) -> list[object]:
    return [
        fields["reason"]
        for name, fields in world.telemetry.facts
        if name == "subscription.disabled"
    ]


async def test_ten_given_up_deliveries_and_the_time_together_disable(
    world: World, receiver: Receiver
) -> None:
    receiver.status = 500
    subscriber = await world.subscribe(receiver.url, policy=ONCE)
    async with world.engine(disable_after=0.3) as engine:
        await send(world, engine, 2)
        await asyncio.sleep(0.3)
        await send(world, engine, 7)
        assert (await read(world, subscriber)).state is State.ACTIVE
        await send(world, engine, 1)

        await until(lambda: disabled(world) != [])
        now = await read(world, subscriber)
        assert (now.state, now.active) == (State.DISABLED, False)
        assert now.disable_reason is DisableReason.CONSECUTIVE_FAILURES
        assert disabled(world) == ["consecutive_failures"]
        # Whoever enables it has the whole time again.
        await world.change(subscriber, active=True, disable_reason=None)
        engine.changed()
        await send(world, engine, 2)
        assert (await read(world, subscriber)).state is State.ACTIVE


@pytest.mark.parametrize("disable_after", [LONG, None])
async def test_failures_alone_do_not(
    world: World, receiver: Receiver, disable_after: float | None
) -> None:
    receiver.status = 500
    subscriber = await world.subscribe(receiver.url, policy=ONCE)
    async with world.engine(disable_after=disable_after) as engine:
        await send(world, engine, 15)
        assert (await read(world, subscriber)).state is State.ACTIVE
    assert disabled(world) == []


async def test_a_success_in_between_begins_anew(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    subscriber = await world.subscribe(receiver.url, policy=ONCE)
    async with world.engine(disable_after=0.0) as engine:
        await send(world, engine, 9)
        receiver.status = 200
        await send(world, engine, 1)
        receiver.status = 500
        await send(world, engine, 9)
        assert (await read(world, subscriber)).state is State.ACTIVE
        await send(world, engine, 1)
        await until(lambda: disabled(world) != [])
    assert disabled(world) == ["consecutive_failures"]


async def test_pings_count_for_nothing(world: World, receiver: Receiver) -> None:
    """They are sent by hand, and tried once."""
    receiver.status = 500
    subscriber = await world.subscribe(receiver.url)
    async with world.engine(disable_after=0.0) as engine:
        for number in range(12):
            ping = event(f"ping-{number}", event_type="ping")
            publish = publish_of(ping, only=subscriber.number, trigger=Trigger.PING)
            engine.accepted(await world.stores.events.append(publish))
        await world.settled()
        await asyncio.sleep(0.05)
    assert len(receiver.requests) == 12
    assert disabled(world) == []


async def test_whoever_subscribed_to_it_is_told_once_what_was_disabled(
    world: World, receiver: Receiver
) -> None:
    # Its own pattern says so, but it gets nothing any more.
    gone = await world.subscribe(receiver.url, "a.*", "webhooks.*")
    await world.subscribe(f"{receiver.url}/told", "webhooks.subscription.disabled")
    for pattern in ("*", "webhooks.*"):
        paused = await world.subscribe(f"{receiver.url}/{pattern[:-1]}", pattern)
        await world.change(paused, paused=True)
    receiver.script = [410]
    async with world.engine() as engine:
        await world.publish(engine, "a.b")
        sent, request = await receiver.got(2)
        await asyncio.sleep(0.05)
        counts = await world.stores.deliveries.counts(None)
    assert [sent.path, request.path] == ["/hook", "/hook/told"]
    assert len(receiver.requests) == 2
    assert request.headers["x-webhook-event"] == "webhooks.subscription.disabled"
    assert json.loads(request.body) == {
        "subscription": gone.name,
        "disable_reason": "DISABLE_REASON_GONE",
    }
    # What paused ones get waits for them: `*` is for the first event alone.
    assert (counts.pending, counts.succeeded, counts.failed) == (2, 1, 1)
    assert (await world.stores.control.audit(None)).violations == ()


async def test_many_requests_in_flight_disable_once(world: World, receiver: Receiver) -> None:
    await world.subscribe(receiver.url, max_in_flight=8)
    async with world.engine() as engine:
        # It has more than one request in flight only after it took something.
        await world.publish(engine)
        await world.settled()
        receiver.status = 410
        receiver.gate = asyncio.Event()
        for _ in range(8):
            await world.publish(engine)
        await receiver.got(1 + 8)
        receiver.gate.set()
        await world.settled()
        await asyncio.sleep(0.05)
    assert disabled(world) == ["gone"]
