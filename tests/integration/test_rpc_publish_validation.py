"""Publish and BatchPublish with validate_only."""

from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import PARENT, Served, refused
from webhooks.v1 import event_pb2
from webhooks.v1 import publisher_service_pb2 as pb


async def test_validation_counts_matches_and_stores_nothing(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url, "a.*")
    request = pb.BatchPublishRequest(
        parent=PARENT,
        validate_only=True,
        events=[
            event_pb2.EventInput(event_type="a.b"),
            event_pb2.EventInput(event_type="a.b", event_id="v1"),
            event_pb2.EventInput(event_type="a.b", event_id="v1"),
            event_pb2.EventInput(event_type="c"),
        ],
    )
    results = (await served.publisher.BatchPublish(request)).results
    assert [one.matched_subscription_count for one in results] == [1, 1, 1, 0]
    assert [one.duplicate for one in results] == [False, False, True, False]
    assert results[0].event == ""
    assert results[1].event == f"{PARENT}/events/v1"
    assert not results[1].HasField("create_time")
    report = await served.stores.control.audit(None)
    assert report.events == 0


async def test_validation_sees_what_is_stored(shared: Served) -> None:
    first = await shared.publisher.Publish(publish(event_id="seen"))
    request = publish(event_id="seen")
    request.validate_only = True
    again = await shared.publisher.Publish(request)
    assert again.duplicate
    assert again.create_time == first.create_time
    request.event.data_json = "1"
    assert (await refused(shared.publisher.Publish(request))).reason == "EVENT_ID_REUSED"
    bad = publish(event_type="")
    bad.validate_only = True
    assert list((await refused(shared.publisher.Publish(bad))).fields) == ["event.event_type"]


async def test_validation_refuses_an_id_reused_within_one_batch(shared: Served) -> None:
    request = pb.BatchPublishRequest(
        parent=PARENT,
        validate_only=True,
        events=[
            event_pb2.EventInput(event_type="a", event_id="twice"),
            event_pb2.EventInput(event_type="b", event_id="twice"),
        ],
    )
    assert (await refused(shared.publisher.BatchPublish(request))).reason == "EVENT_ID_REUSED"
