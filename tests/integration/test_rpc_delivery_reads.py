"""The reading half of DeliveryService."""

import grpc
import pytest

from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish
from tests.harness.served import PARENT, Served, refused
from tests.harness.waiting import until_async
from webhooks.v1 import (
    delivery_pb2,
    delivery_service_pb2,
)


async def deliveries(
    served: Served, **fields: object
) -> delivery_service_pb2.ListDeliveriesResponse:
    parent = f"{PARENT}/subscriptions/-"
    request = delivery_service_pb2.ListDeliveriesRequest(
        **{"parent": parent, **fields}  # type: ignore[arg-type]
    )
    return await served.deliveries.ListDeliveries(request)


@pytest.fixture
async def delivered(served: Served, receiver: Receiver) -> list[str]:
    """Three deliveries to two subscriptions, all attempted; their names, the newest first."""
    receiver.extra = "X-Answer: yes\r\n"
    for number in range(2):
        request = create(
            f"{receiver.url}/{number}",
            subscription_id=f"s{number}",
            events=("all", f"only.{number}"),
        )
        request.subscription.config.secret_headers["X-Key"] = "canary"
        await served.subscriptions.CreateSubscription(request)
    await served.publisher.Publish(publish(event_type="all", event_id="first"))
    await receiver.got(2)
    receiver.status = 500
    await served.publisher.Publish(publish(event_type="only.1", event_id="second"))
    await receiver.got(3)

    async def recorded() -> bool:
        found = (await deliveries(served)).deliveries
        return all(one.attempt_count for one in found)

    await until_async(recorded)
    return [one.name for one in (await deliveries(served)).deliveries]


async def test_a_delivery_shows_its_last_attempt(served: Served, delivered: list[str]) -> None:
    request = delivery_service_pb2.GetDeliveryRequest(name=delivered[0])
    delivery = (await served.deliveries.GetDelivery(request)).delivery
    assert delivery.event == f"{PARENT}/events/second"
    assert delivery.event_type == "only.1"
    assert delivery.state == delivery_pb2.Delivery.STATE_PENDING
    assert delivery.state_reason == ""
    assert delivery.trigger == delivery_pb2.Delivery.TRIGGER_PUBLISH
    assert delivery.attempt_count == 1
    assert delivery.HasField("next_attempt_time")
    assert not delivery.HasField("complete_time")
    attempt = delivery.last_attempt
    assert attempt.name == f"{delivered[0]}/attempts/1"
    assert attempt.outcome == delivery_pb2.DeliveryAttempt.OUTCOME_HTTP_ERROR
    assert attempt.response_status_code == 500
    assert attempt.response_body == "ok"
    assert attempt.response_headers["X-Answer"] == "yes"
    assert attempt.request_headers["X-Webhook-Event"] == "only.1"
    assert "canary" not in str(delivery)
    assert attempt.request_headers["X-Key"] == "***"
    assert attempt.remote_ip_address == "127.0.0.1"
    assert attempt.relay
    assert attempt.latency.ToMicroseconds() > 0
    request = delivery_service_pb2.GetDeliveryRequest(name=delivered[1])
    done = (await served.deliveries.GetDelivery(request)).delivery
    assert done.state == delivery_pb2.Delivery.STATE_SUCCEEDED
    assert done.HasField("complete_time")
    assert not done.HasField("next_attempt_time")


async def test_views_decide_how_much_of_a_delivery_is_read(
    served: Served, delivered: list[str]
) -> None:
    for view, full in (
        (delivery_pb2.DELIVERY_VIEW_UNSPECIFIED, False),
        (delivery_pb2.DELIVERY_VIEW_BASIC, False),
        (delivery_pb2.DELIVERY_VIEW_FULL, True),
    ):
        listed = (await deliveries(served, view=view)).deliveries
        assert all(bool(one.last_attempt.response_body) == full for one in listed)
        assert all(bool(one.last_attempt.request_headers) == full for one in listed)
        request = delivery_service_pb2.ListDeliveryAttemptsRequest(parent=delivered[0], view=view)
        (attempt,) = (await served.deliveries.ListDeliveryAttempts(request)).attempts
        assert bool(attempt.response_body) == full
        assert attempt.response_status_code == 500
        assert attempt.name == f"{delivered[0]}/attempts/1"


async def test_deliveries_are_filtered_and_newest_first(
    served: Served, delivered: list[str]
) -> None:
    async def found(text: str, parent: str = f"{PARENT}/subscriptions/-") -> list[str]:
        answer = await deliveries(served, filter=text, parent=parent)
        return [one.name for one in answer.deliveries]

    assert await found("") == delivered
    assert await found("", "tenants/-/subscriptions/-") == delivered
    first, second = f"{PARENT}/subscriptions/s0", f"{PARENT}/subscriptions/s1"
    assert sorted(await found("", first) + await found("", second)) == sorted(delivered)
    assert await found("state = STATE_PENDING") == delivered[:1]
    assert await found("state != STATE_PENDING") == delivered[1:]
    assert await found("event_type = only.*") == delivered[:1]
    assert await found("event = second") == delivered[:1]
    assert await found(f'event = "{PARENT}/events/second"') == delivered[:1]
    assert await found("trigger = TRIGGER_PING") == []
    assert await found("trigger = TRIGGER_PUBLISH AND state = STATE_SUCCEEDED") == delivered[1:]
    assert await found("complete_time > 2020-01-01T00:00:00Z") == delivered[1:]
    assert await found("create_time < 2020-01-01T00:00:00Z") == []


async def test_deliveries_of_an_absent_subscription_are_not_found(shared: Served) -> None:
    parent = f"{PARENT}/subscriptions/absent"
    request = delivery_service_pb2.ListDeliveriesRequest(parent=parent)
    refusal = await refused(shared.deliveries.ListDeliveries(request))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.metadata["resource_name"] == parent


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT,
        "tenants/-",
        f"{PARENT}/subscriptions/",
        f"{PARENT}/subscription/-",
        "tenants/A/subscriptions/-",
        "tenants/-/subscriptions/a",
        "-/-/-/-",
    ],
)
async def test_a_malformed_subscription_name_is_refused(shared: Served, parent: str) -> None:
    request = delivery_service_pb2.ListDeliveriesRequest(parent=parent)
    refusal = await refused(shared.deliveries.ListDeliveries(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["parent"]


@pytest.mark.parametrize(
    "last", ["", "dlv_", "dlv_" + "0" * 31, "dlv_" + "A" * 32, "evt_" + "0" * 32, "dlv_" + "g" * 32]
)
async def test_a_malformed_delivery_name_is_refused(shared: Served, last: str) -> None:
    name = f"{PARENT}/subscriptions/s/deliveries/{last}"
    for call in (
        shared.deliveries.GetDelivery(delivery_service_pb2.GetDeliveryRequest(name=name)),
        shared.deliveries.RetryDelivery(delivery_service_pb2.RetryDeliveryRequest(name=name)),
        shared.deliveries.CancelDelivery(delivery_service_pb2.CancelDeliveryRequest(name=name)),
    ):
        refusal = await refused(call)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(refusal.fields) == ["name"]
