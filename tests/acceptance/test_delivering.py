"""From an accepted event to a recorded delivery, on each storage, with the real relay."""

import asyncio
import hashlib
import hmac
from dataclasses import replace

import pytest
from standardwebhooks.webhooks import Webhook

from tests.harness.receiver import Receiver
from tests.harness.waiting import until
from tests.harness.world import World
from webhooks_server.domain.delivery import Delivery, DeliveryState, Outcome, Trigger
from webhooks_server.domain.event import Event, Publish
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.secrets import Secret, new_signing_secret
from webhooks_server.domain.subscription import DisableReason, RetryPolicy, State
from webhooks_server.domain.times import Instant, Micros

FAST = RetryPolicy(initial_backoff=Micros(20_000), backoff_multiplier=1.0, max_attempts=3)


async def test_a_published_event_arrives_signed_and_is_on_record(
    world: World, receiver: Receiver
) -> None:
    subscription = await world.subscribe(
        receiver.url,
        "invoice.*",
        headers={"X-Mine": "1"},
        secret_headers={"X-Key": Secret("s3cret")},
    )
    body = '{"text": "hällo", "big": 123456789012345678901234567890}'.encode()
    async with world.engine() as engine:
        accepted = await world.publish(engine, "invoice.paid", body)
        (request,) = await receiver.got(1)
        await world.settled()
    assert request.body == body
    assert request.path == "/hook"
    secret = subscription.config.secret.reveal()
    Webhook(secret).verify(request.body, request.headers)
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert request.headers["x-hub-signature-256"] == f"sha256={mac}"
    (delivery,) = (await listed(world, full=True)).items
    assert (delivery.state, delivery.trigger) == (DeliveryState.SUCCEEDED, Trigger.PUBLISH)
    attempt = delivery.last_attempt
    assert attempt is not None
    assert attempt.number == 1
    assert attempt.status_code == 200
    assert attempt.response_body == b"ok"
    assert attempt.request_headers["X-Key"] == "***"
    expected = {
        "webhook-id": accepted.event.id,
        "x-webhook-event": "invoice.paid",
        "x-webhook-delivery": delivery.id,
        "x-webhook-subscription": subscription.id,
        "x-webhook-attempt": "1",
        "x-mine": "1",
        "x-key": "s3cret",
        "content-type": "application/json",
        "user-agent": "test/1",
    }
    assert request.headers.items() >= expected.items()


async def listed(world: World, *, full: bool = False) -> Page[Delivery]:
    return await world.stores.deliveries.list(None, None, (), PageRequest(size=1000), full=full)


async def test_failures_are_retried_until_the_attempts_are_spent(
    world: World, receiver: Receiver
) -> None:
    receiver.status = 500
    await world.subscribe(receiver.url, policy=FAST)
    async with world.engine() as engine:
        await world.publish(engine)
        await world.settled()
    assert [request.headers["x-webhook-attempt"] for request in receiver.requests] == [
        "1",
        "2",
        "3",
    ]
    (delivery,) = (await listed(world)).items
    assert (delivery.state, delivery.state_reason) == (DeliveryState.FAILED, "attempts_spent")
    assert delivery.attempt_count == 3


async def test_a_failure_then_success(world: World, receiver: Receiver) -> None:
    receiver.script = [503, 200]
    await world.subscribe(receiver.url, policy=FAST)
    async with world.engine() as engine:
        await world.publish(engine)
        await world.settled()
    assert len(set(receiver.ids)) == 1
    assert len(receiver.requests) == 2


async def test_gone_disables_the_subscription_and_holds_the_rest(
    world: World, receiver: Receiver
) -> None:
    receiver.status = 410
    subscription = await world.subscribe(receiver.url, max_in_flight=1)
    async with world.engine() as engine:
        for accepted in await world.append("a", [b"1", b"2", b"3"]):
            engine.accepted([accepted])
        await receiver.got(1)

        async def disabled() -> bool:
            current = await world.stores.subscriptions.get(DEFAULT_TENANT, subscription.id)
            return current.state is State.DISABLED

        for _ in range(200):
            if await disabled():
                break
            await asyncio.sleep(0.01)
    current = await world.stores.subscriptions.get(DEFAULT_TENANT, subscription.id)
    assert (current.active, current.disable_reason) == (False, DisableReason.GONE)
    counts = await world.stores.deliveries.counts(None)
    assert counts.failed == len(receiver.requests)
    assert counts.pending == 3 - counts.failed


async def test_a_dead_receiver_is_a_recorded_outcome(world: World, receiver: Receiver) -> None:
    await world.subscribe("http://127.0.0.1:9/closed", policy=replace(FAST, max_attempts=1))
    async with world.engine() as engine:
        await world.publish(engine)
        await world.settled()
    (delivery,) = (await listed(world)).items
    assert delivery.last_attempt is not None
    assert delivery.last_attempt.outcome is Outcome.CONNECTION_ERROR


async def test_what_a_stopped_engine_left_is_sent_by_the_next(
    world: World, receiver: Receiver
) -> None:
    await world.subscribe(receiver.url)
    await world.publish(None)
    async with world.engine() as engine:
        await world.publish(engine)
        await receiver.got(2)
        await world.settled()
    assert len(set(receiver.ids)) == 2


async def test_max_in_flight_holds(world: World, receiver: Receiver) -> None:
    receiver.wait = 0.02
    await world.subscribe(receiver.url, max_in_flight=3)
    async with world.engine() as engine:
        for accepted in await world.append("a", [b"%d" % number for number in range(30)]):
            engine.accepted([accepted])
        await world.settled()
    assert receiver.most_open == 3
    assert len(receiver.requests) == len(set(receiver.ids)) == 30


async def test_thousands_from_many_publishers_arrive_once_each(
    world: World, receiver: Receiver
) -> None:
    await world.subscribe(receiver.url, max_in_flight=50)
    async with world.engine() as engine:

        async def publisher(count: int) -> None:
            for number in range(count):
                await world.publish(engine, payload=b"%d" % number)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(32):
                tasks.create_task(publisher(30))
        await world.settled(20)
    assert len(receiver.requests) == 960
    assert len(set(receiver.ids)) == 960


async def test_a_stop_under_load_repeats_nothing_and_loses_nothing(
    world: World, receiver: Receiver
) -> None:
    receiver.wait = 0.005
    await world.subscribe(receiver.url, max_in_flight=20)
    for _ in range(4):
        async with world.engine() as engine:
            for accepted in await world.append("a", [b"1"] * 100):
                engine.accepted([accepted])
            await asyncio.sleep(0.03)
        assert receiver.open_requests == 0
    async with world.engine():
        await world.settled(10)
    assert len(receiver.requests) == len(set(receiver.ids)) == 400


async def test_a_rotation_signs_with_both_and_updates_take_effect(
    world: World, receiver: Receiver
) -> None:
    subscription = await world.subscribe(receiver.url)
    async with world.engine() as engine:
        old, new = subscription.config.secret, new_signing_secret()
        soon = Instant(world.clock.wall() + 60_000_000)
        config = replace(
            subscription.config, secret=new, previous_secret=old, previous_secret_expire_time=soon
        )
        await world.change(subscription, config=config)
        await world.publish(engine)
        (request,) = await receiver.got(1)
        for secret in (old, new):
            Webhook(secret.reveal()).verify(request.body, request.headers)
        await world.settled()


async def test_lost_wake_ups_strand_nothing(world: World, receiver: Receiver) -> None:
    await world.subscribe(receiver.url)
    async with world.engine(backstop_partitions=256) as engine:
        await asyncio.sleep(0.1)
        await world.publish(None)
        await receiver.got(1)
        await world.settled()
        # The store shows a record a moment before the engine has its answer.
        await until(lambda: engine.status()[0].in_flight == 0)


async def test_a_ping_is_one_attempt_with_its_answer(world: World, receiver: Receiver) -> None:
    receiver.status = 500
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
    async with world.engine() as engine:
        (accepted,) = await world.stores.events.append(
            Publish(
                tenant=DEFAULT_TENANT,
                events=(event,),
                only=subscription.number,
                trigger=Trigger.PING,
                first_due_delay=25_000_000,
            )
        )
        attempt = await engine.send_now(subscription, accepted)
    assert (attempt.number, attempt.status_code) == (1, 500)
    assert len(receiver.requests) == 1
    (delivery,) = (await listed(world)).items
    assert delivery.state is DeliveryState.FAILED


async def test_a_manual_retry_is_sent_before_the_backlog(world: World, receiver: Receiver) -> None:
    receiver.script = [500, 500]
    await world.subscribe(receiver.url, max_in_flight=1)
    async with world.engine() as engine:
        first = await world.publish(engine)
        second = await world.publish(engine)
        await receiver.got(2)
        await asyncio.sleep(0.1)
        delivery = second.deliveries[0]
        (subscription,) = await world.stores.subscriptions.load([delivery.subscription])
        await world.stores.deliveries.retry(DEFAULT_TENANT, subscription.id, delivery.uid)
        engine.wake(subscription.number)
        await receiver.got(3)
        assert receiver.ids[2] == second.event.id
        assert receiver.requests[2].headers["x-webhook-attempt"] == "2"
        await world.stores.deliveries.cancel(
            DEFAULT_TENANT, subscription.id, first.deliveries[0].uid
        )
        await world.settled()


async def test_a_pass_sends_what_is_due_and_says_what_it_did(
    world: World, receiver: Receiver
) -> None:
    receiver.status = 500
    await world.subscribe(receiver.url)
    async with world.engine(backstop_interval=60.0) as engine:
        await asyncio.sleep(0.05)
        for _ in range(5):
            await world.publish(None)
        result = await engine.notify(DEFAULT_TENANT)
        assert (result.attempts, result.retrying, result.succeeded) == (5, 5, 0)
        assert (await engine.notify(None)).attempts == 0


@pytest.mark.long
async def test_a_fan_out_reaches_everybody_once(world: World, receiver: Receiver) -> None:
    for number in range(1200):
        await world.subscribe(f"{receiver.url}/{number}")
    async with world.engine() as engine:
        accepted = await world.publish(engine)
        assert accepted.event.delivery_count == 1200
        await receiver.got(1200, within=20)
        await world.settled(20)
    assert len({request.path for request in receiver.requests}) == 1200
    assert len(receiver.requests) == 1200
