"""What holds deliveries back, ends them, and lets them flow again, on each storage."""

import asyncio

from tests.harness.receiver import Receiver
from tests.harness.world import World
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import Micros

FAST = RetryPolicy(initial_backoff=Micros(20_000), backoff_multiplier=1.0, max_attempts=3)


async def test_paused_and_inactive_hold_and_flow_again(world: World, receiver: Receiver) -> None:
    subscription = await world.subscribe(receiver.url)
    async with world.engine() as engine:
        await world.change(subscription, paused=True)
        engine.changed()
        await world.publish(engine)
        await asyncio.sleep(0.2)
        assert receiver.requests == []
        assert await world.pending() == 1
        await world.change(subscription, paused=False)
        engine.changed()
        await receiver.got(1)
        await world.settled()


async def test_a_paused_relay_holds_everything(world: World, receiver: Receiver) -> None:
    await world.subscribe(receiver.url)
    async with world.engine() as engine:
        await world.stores.control.pause_relay("", "deploy")
        engine.changed()
        await asyncio.sleep(0.05)
        await world.publish(engine)
        await asyncio.sleep(0.2)
        assert receiver.requests == []
        assert (await engine.notify(None)).attempts == 0
        await world.stores.control.resume_relay("")
        engine.changed()
        await receiver.got(1)
        await world.settled()


async def test_deleting_cancels_what_is_pending(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    subscription = await world.subscribe(receiver.url)
    async with world.engine() as engine:
        for accepted in await world.append("a", [b"1"] * 25):
            engine.accepted([accepted])
        await receiver.got(25)
        await world.stores.subscriptions.delete(DEFAULT_TENANT, subscription.id)
        engine.changed()
        await world.settled()
    counts = await world.stores.deliveries.counts(None)
    assert counts.cancelled == 25
    assert len(receiver.requests) == 25


async def test_nothing_new_is_sent_after_a_delete(world: World, receiver: Receiver) -> None:
    receiver.wait = 0.01
    subscription = await world.subscribe(receiver.url, max_in_flight=2)
    async with world.engine() as engine:
        for accepted in await world.append("a", [b"1"] * 200):
            engine.accepted([accepted])
        await receiver.got(10)
        await world.stores.subscriptions.delete(DEFAULT_TENANT, subscription.id)
        engine.changed()
        await asyncio.sleep(0.1)
        seen = len(receiver.requests)
        await world.settled()
        assert len(receiver.requests) == seen


async def test_nothing_is_sent_after_a_delete_that_the_engine_has_not_heard_of(
    world: World, receiver: Receiver
) -> None:
    """There is no secret any more to sign it with."""
    subscription = await world.subscribe(receiver.url)
    async with world.engine(beat_interval=60, backstop_interval=60) as engine:
        # The first beat is over then.
        await asyncio.sleep(0.1)
        accepted = await world.publish(None)
        await world.stores.subscriptions.delete(DEFAULT_TENANT, subscription.id)
        engine.accepted([accepted])
        await asyncio.sleep(0.1)
        assert await world.pending() == 1
        engine.changed()
        await world.settled()
    assert receiver.requests == []
    assert (await world.stores.deliveries.counts(None)).cancelled == 1


async def test_max_age_expires_also_what_is_held(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    policy = RetryPolicy(max_age=Micros(1_000_000))
    await world.subscribe(receiver.url, policy=policy)
    held = await world.subscribe(receiver.url + "2", policy=policy)
    async with world.engine() as engine:
        await world.change(held, paused=True)
        engine.changed()
        await world.publish(engine)
        await world.settled(8)
    counts = await world.stores.deliveries.counts(None)
    assert counts.expired == 2
    assert len(receiver.requests) == 1


async def test_a_resume_that_somebody_else_read_first_still_flows(
    world: World, receiver: Receiver
) -> None:
    subscription = await world.subscribe(receiver.url)
    async with world.engine(backstop_interval=60.0) as engine:
        await world.change(subscription, paused=True)
        engine.changed()
        await asyncio.sleep(0.05)
        await world.publish(engine)
        await world.change(subscription, paused=False)
        world.index.apply(await world.stores.subscriptions.changes(world.index.version))
        await receiver.got(1)
        await world.settled()


async def test_a_resumed_relay_that_somebody_else_read_first_still_flows(
    world: World, receiver: Receiver
) -> None:
    await world.subscribe(receiver.url)
    async with world.engine(backstop_interval=60.0) as engine:
        await world.stores.control.pause_relay("", "deploy")
        engine.changed()
        await asyncio.sleep(0.05)
        await world.publish(engine)
        await world.stores.control.resume_relay("")
        world.index.apply(await world.stores.subscriptions.changes(world.index.version))
        await receiver.got(1)
        await world.settled()
