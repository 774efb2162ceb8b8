"""RetryDelivery, CancelDelivery and ListDeliveryAttempts."""

import asyncio
import uuid

import grpc

from tests.harness.receiver import Receiver
from tests.harness.requests import URL, publish, subscribe, unsubscribe
from tests.harness.served import PARENT, Served, refused
from tests.harness.waiting import until_async
from webhooks.v1 import delivery_pb2, subscription_pb2, subscription_service_pb2
from webhooks.v1 import delivery_service_pb2 as pb

State = delivery_pb2.Delivery


async def read(served: Served, name: str) -> delivery_pb2.Delivery:
    return (await served.deliveries.GetDelivery(pb.GetDeliveryRequest(name=name))).delivery


async def the_only(served: Served) -> delivery_pb2.Delivery:
    request = pb.ListDeliveriesRequest(parent=f"{PARENT}/subscriptions/-")
    (found,) = (await served.deliveries.ListDeliveries(request)).deliveries
    return found


async def attempted(served: Served, name: str, count: int) -> delivery_pb2.Delivery:
    async def enough() -> bool:
        return (await read(served, name)).attempt_count >= count

    await until_async(enough)
    return await read(served, name)


async def paused(served: Served, url: str = URL) -> subscription_pb2.Subscription:
    made = await subscribe(served, url)
    pause = subscription_service_pb2.PauseSubscriptionRequest(name=made.name)
    await served.subscriptions.PauseSubscription(pause)
    return made


async def test_a_retry_takes_the_place_of_the_scheduled_attempt(
    served: Served, receiver: Receiver
) -> None:
    receiver.script = [500, 500]
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    await receiver.got(1)
    delivery = await attempted(served, (await the_only(served)).name, 1)
    assert delivery.state == State.STATE_PENDING
    answer = await served.deliveries.RetryDelivery(pb.RetryDeliveryRequest(name=delivery.name))
    assert answer.delivery.state == State.STATE_PENDING
    assert answer.delivery.name == delivery.name
    await receiver.got(2)
    delivery = await attempted(served, delivery.name, 2)
    # It goes on with its schedule.
    assert delivery.state == State.STATE_PENDING
    await served.deliveries.RetryDelivery(pb.RetryDeliveryRequest(name=delivery.name))
    await receiver.got(3)
    delivery = await attempted(served, delivery.name, 3)
    assert delivery.state == State.STATE_SUCCEEDED
    attempts = await served.deliveries.ListDeliveryAttempts(
        pb.ListDeliveryAttemptsRequest(parent=delivery.name, page_size=2)
    )
    assert [one.attempt_number for one in attempts.attempts] == [3, 2]
    rest = await served.deliveries.ListDeliveryAttempts(
        pb.ListDeliveryAttemptsRequest(
            parent=delivery.name, page_size=2, page_token=attempts.next_page_token
        )
    )
    assert [one.attempt_number for one in rest.attempts] == [1]
    assert rest.next_page_token == ""


async def test_a_final_delivery_can_be_sent_again(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    await receiver.got(1)
    delivery = await attempted(served, (await the_only(served)).name, 1)
    assert delivery.state == State.STATE_SUCCEEDED
    request = pb.RetryDeliveryRequest(name=delivery.name, request_id=str(uuid.uuid4()))
    first = await served.deliveries.RetryDelivery(request)
    assert not first.delivery.HasField("complete_time")
    await receiver.got(2)
    await attempted(served, delivery.name, 2)
    # The same request again is not another attempt.
    assert await served.deliveries.RetryDelivery(request) == first
    assert (await read(served, delivery.name)).attempt_count == 2
    request.name = delivery.name[:-1] + ("1" if delivery.name.endswith("0") else "0")
    refusal = await refused(served.deliveries.RetryDelivery(request))
    assert refusal.reason == "REQUEST_ID_REUSED"


async def test_what_was_not_attempted_cannot_be_retried(served: Served) -> None:
    await paused(served)
    await served.publisher.Publish(publish())
    delivery = await the_only(served)
    request = pb.RetryDeliveryRequest(name=delivery.name)
    refusal = await refused(served.deliveries.RetryDelivery(request))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "DELIVERY_NOT_RETRYABLE"
    assert "PreconditionFailure" in refusal.details


async def test_what_belongs_to_a_deleted_subscription_cannot_be_retried(
    served: Served, receiver: Receiver
) -> None:
    made = await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    await receiver.got(1)
    delivery = await attempted(served, (await the_only(served)).name, 1)
    await unsubscribe(served, made.name)
    request = pb.RetryDeliveryRequest(name=delivery.name)
    refusal = await refused(served.deliveries.RetryDelivery(request))
    assert refusal.reason == "DELIVERY_NOT_RETRYABLE"
    assert await read(served, delivery.name) == delivery


async def test_what_belongs_to_a_disabled_subscription_cannot_be_retried(
    served: Served, receiver: Receiver
) -> None:
    receiver.status = 410
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    delivery = await attempted(served, (await the_only(served)).name, 1)

    async def disabled() -> bool:
        parent = delivery.name.rpartition("/deliveries/")[0]
        found = await served.subscriptions.GetSubscription(
            subscription_service_pb2.GetSubscriptionRequest(name=parent)
        )
        return found.subscription.state == subscription_pb2.Subscription.STATE_DISABLED

    await until_async(disabled)
    request = pb.RetryDeliveryRequest(name=delivery.name)
    refusal = await refused(served.deliveries.RetryDelivery(request))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "SUBSCRIPTION_DISABLED"


async def test_a_cancelled_delivery_is_not_sent(served: Served, receiver: Receiver) -> None:
    made = await paused(served, receiver.url)
    await served.publisher.Publish(publish())
    delivery = await the_only(served)
    request = pb.CancelDeliveryRequest(name=delivery.name)
    cancelled = (await served.deliveries.CancelDelivery(request)).delivery
    assert cancelled.state == State.STATE_CANCELLED
    assert cancelled.state_reason == "cancelled"
    assert cancelled.HasField("complete_time")
    # A final one stays as it is.
    assert (await served.deliveries.CancelDelivery(request)).delivery == cancelled
    resume = subscription_service_pb2.ResumeSubscriptionRequest(name=made.name)
    assert (await served.subscriptions.ResumeSubscription(resume)).held_delivery_count == 0
    await served.publisher.Publish(publish(event_id="after"))
    await receiver.got(1)
    assert receiver.ids == ["after"]


async def test_an_absent_delivery_is_named(shared: Served) -> None:
    made = await subscribe(shared)
    name = f"{made.name}/deliveries/dlv_{'0' * 32}"
    for call in (
        shared.deliveries.GetDelivery(pb.GetDeliveryRequest(name=name)),
        shared.deliveries.RetryDelivery(pb.RetryDeliveryRequest(name=name)),
        shared.deliveries.CancelDelivery(pb.CancelDeliveryRequest(name=name)),
        shared.deliveries.ListDeliveryAttempts(pb.ListDeliveryAttemptsRequest(parent=name)),
    ):
        refusal = await refused(call)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert refusal.metadata == {
            "resource_type": "webhooks.v1.Delivery",
            "resource_name": name,
        }


async def test_a_cancelled_delivery_that_waits_for_its_turn_is_not_sent(
    served: Served, receiver: Receiver
) -> None:
    """The engine holds it in memory by then, behind the one in flight."""
    receiver.gate = asyncio.Event()
    config = subscription_pb2.SubscriptionConfig(max_in_flight=1)
    made = await subscribe(served, receiver.url, config=config)
    for event_id in ("first", "second", "third"):
        await served.publisher.Publish(publish(event_id=event_id))
    await receiver.got(1)
    request = pb.ListDeliveriesRequest(parent=made.name, filter=f'event = "{PARENT}/events/second"')
    (second,) = (await served.deliveries.ListDeliveries(request)).deliveries
    await served.deliveries.CancelDelivery(pb.CancelDeliveryRequest(name=second.name))
    receiver.gate.set()
    await receiver.got(2)
    assert receiver.ids == ["first", "third"]
    assert (await read(served, second.name)).attempt_count == 0
