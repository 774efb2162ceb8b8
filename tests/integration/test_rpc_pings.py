"""PingSubscription, TestSubscription, and the ping of a new subscription."""

import asyncio
import json

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from tests.harness.receiver import Receiver
from tests.harness.requests import URL, create, publish, read, subscribe
from tests.harness.served import Served, refused
from tests.harness.waiting import until_async
from webhooks.v1 import admin_service_pb2, delivery_pb2, delivery_service_pb2
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.services.pings import MAX_PINGS


async def test_a_new_subscription_is_pinged_without_waiting(
    served: Served, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    request = create(receiver.url, events=("invoice.*",))
    request.skip_ping = False
    answer = await served.subscriptions.CreateSubscription(request, timeout=2)
    receiver.gate.set()
    (ping,) = await receiver.got(1)
    assert ping.headers["x-webhook-event"] == "webhooks.ping"
    name = answer.subscription.name
    assert json.loads(ping.body) == {"subscription": name, "events": ["invoice.*"]}


async def test_a_ping_that_fails_changes_nothing(served: Served, receiver: Receiver) -> None:
    receiver.status = 500
    request = create(receiver.url)
    request.skip_ping = False
    answer = await served.subscriptions.CreateSubscription(request)
    await receiver.got(1)

    async def failed() -> bool:
        return (await served.stores.deliveries.counts(None)).failed == 1

    await until_async(failed)
    assert await read(served, answer.subscription.name) == answer.subscription
    assert len(receiver.requests) == 1


async def test_a_new_receiver_that_is_gone_at_its_ping_is_not_disabled(
    served: Served, receiver: Receiver
) -> None:
    receiver.status = 410
    request = create(receiver.url)
    request.skip_ping = False
    made = (await served.subscriptions.CreateSubscription(request)).subscription

    async def failed() -> bool:
        return (await served.stores.deliveries.counts(None)).failed == 1

    await until_async(failed)
    await asyncio.sleep(0.05)
    assert (await read(served, made.name)).state == pb.Subscription.STATE_ACTIVE


@pytest.mark.parametrize("status", [200, 500])
async def test_ping_answers_with_its_attempt(
    served: Served, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    made = await subscribe(served, receiver.url)
    request = service_pb.PingSubscriptionRequest(name=made.name)
    attempt = (await served.subscriptions.PingSubscription(request)).attempt
    assert attempt.response_status_code == status
    succeeded = attempt.outcome == delivery_pb2.DeliveryAttempt.OUTCOME_SUCCEEDED
    assert succeeded == (status == 200)
    assert attempt.response_body == "ok"
    assert attempt.name.endswith("/attempts/1")
    delivery = await served.deliveries.GetDelivery(
        delivery_service_pb2.GetDeliveryRequest(name=attempt.name.rpartition("/attempts/")[0])
    )
    assert delivery.delivery.trigger == delivery_pb2.Delivery.TRIGGER_PING
    assert delivery.delivery.last_attempt == attempt


async def test_an_inactive_subscription_can_be_pinged(served: Served, receiver: Receiver) -> None:
    made = await subscribe(served, receiver.url, active=False)
    request = service_pb.PingSubscriptionRequest(name=made.name)
    assert (await served.subscriptions.PingSubscription(request)).attempt.attempt_number == 1


async def test_a_test_event_goes_to_this_subscription_alone(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, f"{receiver.url}/other")
    made = await subscribe(served, receiver.url, "never")
    data = Struct()
    data.update({"b": 1, "a": "x"})
    request = service_pb.TestSubscriptionRequest(name=made.name, event_type="try.it", data=data)
    delivery = (await served.subscriptions.TestSubscription(request)).delivery
    assert delivery.state == delivery_pb2.Delivery.STATE_PENDING
    assert delivery.trigger == delivery_pb2.Delivery.TRIGGER_TEST
    assert delivery.attempt_count == 0
    assert delivery.event_type == "try.it"
    (got,) = await receiver.got(1)
    assert got.body == b'{"a":"x","b":1}'
    assert got.path == "/hook"
    assert delivery.name.endswith(got.headers["x-webhook-delivery"])


async def test_a_test_event_of_a_reserved_type_is_refused(shared: Served) -> None:
    made = await subscribe(shared, f"{URL}/reserved")
    request = service_pb.TestSubscriptionRequest(name=made.name, event_type="webhooks.ping")
    refusal = await refused(shared.subscriptions.TestSubscription(request))
    assert list(refusal.fields) == ["event_type"]


async def test_a_disabled_subscription_is_neither_pinged_nor_tested(
    served: Served, receiver: Receiver
) -> None:
    receiver.status = 410
    made = await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())

    async def disabled() -> bool:
        return (await read(served, made.name)).state == pb.Subscription.STATE_DISABLED

    await until_async(disabled)
    found = await read(served, made.name)
    assert found.disable_reason == pb.Subscription.DISABLE_REASON_GONE
    assert not found.active
    ping = service_pb.PingSubscriptionRequest(name=made.name)
    test = service_pb.TestSubscriptionRequest(name=made.name, event_type="a")
    for call in (
        served.subscriptions.PingSubscription(ping),
        served.subscriptions.TestSubscription(test),
    ):
        refusal = await refused(call)
        assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "SUBSCRIPTION_DISABLED"
        assert "PreconditionFailure" in refusal.details
    update = service_pb.UpdateSubscriptionRequest(
        subscription=pb.Subscription(name=made.name, active=True)
    )
    enabled = (await served.subscriptions.UpdateSubscription(update)).subscription
    assert enabled.state == pb.Subscription.STATE_ACTIVE
    assert enabled.disable_reason == pb.Subscription.DISABLE_REASON_UNSPECIFIED


async def test_a_stop_waits_for_a_ping_that_nobody_waits_for(
    served: Served, receiver: Receiver
) -> None:
    """Cut off, it would be sent a second time after the next start."""
    receiver.gate = asyncio.Event()
    made = await subscribe(served, receiver.url)
    call = served.subscriptions.PingSubscription(service_pb.PingSubscriptionRequest(name=made.name))
    await receiver.got(1)
    call.cancel()
    closing = asyncio.ensure_future(served.services.close(5))
    await asyncio.sleep(0.05)
    assert not closing.done()
    receiver.gate.set()
    await closing
    assert (await served.stores.deliveries.counts(None)).succeeded == 1


async def test_the_ping_of_a_new_subscription_waits_while_it_may_not_send(
    served: Served, receiver: Receiver
) -> None:
    request = create(receiver.url, active=False)
    request.skip_ping = False
    made = (await served.subscriptions.CreateSubscription(request)).subscription

    async def pending() -> bool:
        return (await served.stores.deliveries.counts(None)).pending == 1

    await until_async(pending)
    await asyncio.sleep(0.05)
    assert receiver.requests == []
    update = service_pb.UpdateSubscriptionRequest(
        subscription=pb.Subscription(name=made.name, active=True)
    )
    await served.subscriptions.UpdateSubscription(update)
    await receiver.got(1)


async def test_a_paused_relay_sends_no_ping(served: Served, receiver: Receiver) -> None:
    made = await subscribe(served, receiver.url)
    await served.admin.PauseRelay(admin_service_pb2.PauseRelayRequest())
    ping = service_pb.PingSubscriptionRequest(name=made.name)
    refusal = await refused(served.subscriptions.PingSubscription(ping))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "RELAY_PAUSED"
    assert "PreconditionFailure" in refusal.details
    request = create(f"{receiver.url}/new")
    request.skip_ping = False
    await served.subscriptions.CreateSubscription(request)
    await asyncio.sleep(0.1)
    # What was refused left nothing behind; the other one waits.
    assert (await served.stores.deliveries.counts(None)).pending == 1
    assert receiver.requests == []
    await served.admin.ResumeRelay(admin_service_pb2.ResumeRelayRequest())
    await receiver.got(1)
    await served.subscriptions.PingSubscription(ping)
    assert [request.path for request in receiver.requests] == ["/hook/new", "/hook"]


async def test_pings_at_the_same_time_are_bounded(served: Served, receiver: Receiver) -> None:
    receiver.gate = asyncio.Event()
    made = await subscribe(served, receiver.url)
    ping = service_pb.PingSubscriptionRequest(name=made.name)
    calls = [served.subscriptions.PingSubscription(ping) for _ in range(MAX_PINGS)]
    await receiver.got(MAX_PINGS)
    refusal = await refused(served.subscriptions.PingSubscription(ping))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "SERVER_OVERLOADED"
    counts = await served.stores.deliveries.counts(None)
    assert counts.pending == MAX_PINGS
    receiver.gate.set()
    for call in calls:
        assert (await call).attempt.attempt_number == 1
    await served.subscriptions.PingSubscription(ping)
    assert len(receiver.requests) == MAX_PINGS + 1
