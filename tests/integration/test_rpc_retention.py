"""What callers see of an event whose time is over."""

import pytest

from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import PARENT, Served, refused
from tests.harness.waiting import until_async
from webhooks.v1 import admin_service_pb2, delivery_pb2, delivery_service_pb2, event_service_pb2
from webhooks_server.domain.ids import EventSeq
from webhooks_server.domain.times import Micros
from webhooks_server.storage.sql import retention

EVENT = f"{PARENT}/events/e1"
NOT_FOUND = "RESOURCE_NOT_FOUND"
ALL = f"{PARENT}/subscriptions/-"


async def finished(served: Served, count: int) -> list[delivery_pb2.Delivery]:
    """The deliveries, once so many have succeeded."""
    request = delivery_service_pb2.ListDeliveriesRequest(
        parent=ALL, filter="state = STATE_SUCCEEDED"
    )

    async def enough() -> bool:
        return len((await served.deliveries.ListDeliveries(request)).deliveries) == count

    await until_async(enough)
    return list((await served.deliveries.ListDeliveries(request)).deliveries)


async def test_what_is_removed_is_not_found_and_can_be_published_anew(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish(event_id="e1"))
    (delivery,) = await finished(served, 1)
    await served.stores.events.purge(Micros(0), EventSeq(0))

    get = event_service_pb2.GetEventRequest(name=EVENT)
    assert (await refused(served.events.GetEvent(get))).reason == NOT_FOUND
    explain = event_service_pb2.ExplainMatchRequest(parent=PARENT, event=EVENT)
    assert (await refused(served.events.ExplainMatch(explain))).reason == NOT_FOUND
    retry = delivery_service_pb2.RetryDeliveryRequest(name=delivery.name)
    assert (await refused(served.deliveries.RetryDelivery(retry))).reason == NOT_FOUND
    again = await served.publisher.Publish(publish(event_id="e1", event_type="other.type"))
    assert not again.duplicate
    await finished(served, 1)
    audit = await served.admin.Audit(admin_service_pb2.AuditRequest())
    assert (audit.event_count, audit.delivery_count, list(audit.violations)) == (1, 1, [])


async def test_a_retry_while_an_event_is_being_removed_says_so(
    served: Served, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DELIVERIES_AT_ONCE", 1)
    for name in ("a", "b"):
        await subscribe(served, f"{receiver.url}/{name}")
    await served.publisher.Publish(publish(event_id="e1"))
    deliveries = await finished(served, 2)
    await served.stores.events.purge(Micros(0), EventSeq(0))
    reasons = []
    for delivery in deliveries:
        get = delivery_service_pb2.GetDeliveryRequest(name=delivery.name)
        assert (await refused(served.deliveries.GetDelivery(get))).reason == NOT_FOUND
        retry = delivery_service_pb2.RetryDeliveryRequest(name=delivery.name)
        reasons.append((await refused(served.deliveries.RetryDelivery(retry))).reason)
    assert sorted(reasons) == ["EVENT_PURGED", NOT_FOUND]
