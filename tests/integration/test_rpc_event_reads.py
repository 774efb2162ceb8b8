"""EventService."""

import grpc
import pytest

from tests.harness.receiver import Receiver
from tests.harness.requests import URL, create, publish, subscribe, unsubscribe
from tests.harness.served import PARENT, Served, refused
from webhooks.v1 import (
    delivery_service_pb2,
    event_pb2,
    publisher_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from webhooks.v1 import event_service_pb2 as pb


async def events(served: Served, **fields: object) -> pb.ListEventsResponse:
    request = pb.ListEventsRequest(**{"parent": PARENT, **fields})  # type: ignore[arg-type]
    return await served.events.ListEvents(request)


def ids(answer: pb.ListEventsResponse) -> list[str]:
    return [event.name.rpartition("/")[2] for event in answer.events]


async def test_views_decide_how_much_of_an_event_is_read(shared: Served) -> None:
    answer = await shared.publisher.Publish(publish(data_json="[1]", event_id="viewed"))
    for view, full in (
        (event_pb2.EVENT_VIEW_UNSPECIFIED, True),
        (event_pb2.EVENT_VIEW_BASIC, False),
        (event_pb2.EVENT_VIEW_FULL, True),
    ):
        request = pb.GetEventRequest(name=answer.event, view=view)
        event = (await shared.events.GetEvent(request)).event
        assert event.data_json == ("[1]" if full else "")
        assert event.data_size_bytes == 3
    for view, full in (
        (event_pb2.EVENT_VIEW_UNSPECIFIED, False),
        (event_pb2.EVENT_VIEW_BASIC, False),
        (event_pb2.EVENT_VIEW_FULL, True),
    ):
        (event,) = (await events(shared, view=view, page_size=1)).events
        assert event.WhichOneof("payload") == ("data_json" if full else None)
        assert event.data_size_bytes == 3
    unknown = pb.GetEventRequest(name=answer.event, view=9)  # type: ignore[arg-type]
    assert list((await refused(shared.events.GetEvent(unknown))).fields) == ["view"]
    with pytest.raises(grpc.aio.AioRpcError):
        await events(shared, view=-1)


async def test_events_are_filtered_and_newest_first(served: Served) -> None:
    for number in range(4):
        await served.publisher.Publish(
            publish(
                event_id=f"e{number}",
                event_type=f"kind.{number % 2}",
                source=f"s{number}",
                subject='quo"te' if number == 3 else "",
            )
        )
    first = (await events(served)).events[-1]
    moment = first.create_time.ToJsonString()
    assert ids(await events(served)) == ["e3", "e2", "e1", "e0"]
    assert ids(await events(served, parent="tenants/-")) == ["e3", "e2", "e1", "e0"]
    assert ids(await events(served, filter="event_type = kind.1")) == ["e3", "e1"]
    assert ids(await events(served, filter="event_type = kind.*")) == ["e3", "e2", "e1", "e0"]
    assert ids(await events(served, filter="event_type = *")) == ["e3", "e2", "e1", "e0"]
    assert ids(await events(served, filter="event_type != *")) == []
    assert ids(await events(served, filter="event_type != kind.1")) == ["e2", "e0"]
    assert ids(await events(served, filter='source = "s2" AND event_type = kind.0')) == ["e2"]
    assert ids(await events(served, filter='subject = "quo\\"te"')) == ["e3"]
    assert ids(await events(served, filter=f"create_time > {moment}")) == ["e3", "e2", "e1"]
    assert ids(await events(served, filter=f'create_time <= "{moment}"')) == ["e0"]


FILTERS_REFUSED = [
    "nothing = 1",
    "event_type",
    "event_type =",
    "event_type = a OR event_type = b",
    "event_type < a",
    "create_time > yesterday",
    "create_time > 2026-11-20T00:00:00",
    "event_type = a b",
    "AND event_type = a",
    "source = '\0'",
    "event_type : a",
]


@pytest.mark.parametrize("text", FILTERS_REFUSED)
async def test_a_filter_outside_the_grammar_is_refused(shared: Served, text: str) -> None:
    request = pb.ListEventsRequest(parent=PARENT, filter=text)
    refusal = await refused(shared.events.ListEvents(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FILTER"
    assert list(refusal.fields) == ["filter"]


def filter_of(size: int) -> str:
    return "source = " + "x" * (size - 9)


async def test_a_filter_has_at_most_2_kib_and_20_terms(shared: Served) -> None:
    await events(shared, filter=filter_of(2048))
    await events(shared, filter=" AND ".join(["source = x"] * 20))
    for text in (filter_of(2049), " AND ".join(["source = x"] * 21)):
        request = pb.ListEventsRequest(parent=PARENT, filter=text)
        assert (await refused(shared.events.ListEvents(request))).reason == "INVALID_FILTER"


@pytest.mark.parametrize("name", ["", "tenants/default/events/", "tenants/default/events/a.b", "x"])
async def test_a_malformed_event_name_is_refused(shared: Served, name: str) -> None:
    refusal = await refused(shared.events.GetEvent(pb.GetEventRequest(name=name)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["name"]


async def test_an_absent_event_is_named(shared: Served) -> None:
    name = f"{PARENT}/events/absent"
    refusal = await refused(shared.events.GetEvent(pb.GetEventRequest(name=name)))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.reason == "RESOURCE_NOT_FOUND"
    assert refusal.metadata == {
        "resource_type": "webhooks.v1.Event",
        "resource_name": name,
    }


async def test_explanations_say_why_and_name_the_delivery(
    served: Served, receiver: Receiver
) -> None:
    for number, patterns in enumerate([("a.*",), ("b",), ("*",)]):
        request = create(f"{receiver.url}/{number}", subscription_id=f"s{number}", events=patterns)
        await served.subscriptions.CreateSubscription(request)
    update = subscription_service_pb2.UpdateSubscriptionRequest(
        subscription=subscription_pb2.Subscription(name=f"{PARENT}/subscriptions/s2", active=False)
    )
    await served.subscriptions.UpdateSubscription(update)
    gone = await subscribe(served, f"{receiver.url}/gone")
    await unsubscribe(served, gone.name)
    published = await served.publisher.Publish(publish(event_type="a.b"))
    stored = pb.ExplainMatchRequest(parent=PARENT, event=published.event)
    unpublished = pb.ExplainMatchRequest(
        parent=PARENT, event_input=event_pb2.EventInput(event_type="a.b")
    )
    for asked in (stored, unpublished):
        answer = await served.events.ExplainMatch(asked)
        found = [
            (one.subscription.rpartition("/")[2], one.matched, one.pattern)
            for one in answer.explanations
        ]
        assert found == [("s2", False, "*"), ("s1", False, ""), ("s0", True, "a.*")]
        assert "inactive" in answer.explanations[0].reason
        assert all(one.reason for one in answer.explanations)
        assert not answer.next_page_token
    explained = (await served.events.ExplainMatch(stored)).explanations
    everyone = delivery_service_pb2.ListDeliveriesRequest(parent=f"{PARENT}/subscriptions/-")
    (listed,) = (await served.deliveries.ListDeliveries(everyone)).deliveries
    assert [one.delivery for one in explained] == ["", "", listed.name]


async def test_explanations_come_in_pages(served: Served) -> None:
    for number in range(5):
        await subscribe(served, f"{URL}/{number}")
    request = pb.ExplainMatchRequest(
        parent=PARENT, event_input=event_pb2.EventInput(event_type="a"), page_size=2
    )
    found: list[str] = []
    while True:
        answer = await served.events.ExplainMatch(request)
        assert len(answer.explanations) <= 2
        found += [one.subscription for one in answer.explanations]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert len(set(found)) == len(found) == 5


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ExplainMatchRequest(parent=PARENT), "event"),
        (pb.ExplainMatchRequest(parent=PARENT, event="x"), "event"),
        (pb.ExplainMatchRequest(parent=PARENT, event="tenants/other/events/x"), "event"),
        (
            pb.ExplainMatchRequest(
                parent=PARENT, event_input=event_pb2.EventInput(event_type="a b")
            ),
            "event_input.event_type",
        ),
        (
            pb.ExplainMatchRequest(
                parent=PARENT, event_input=event_pb2.EventInput(event_type="a", data_json="{")
            ),
            "event_input.data_json",
        ),
    ],
    ids=["neither", "no name", "another tenant's", "a bad type", "a bad payload"],
)
async def test_what_cannot_be_explained_is_refused(
    shared: Served, request_: pb.ExplainMatchRequest, field: str
) -> None:
    refusal = await refused(shared.events.ExplainMatch(request_))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == [field]


async def test_a_page_holds_50_unless_said_otherwise(served: Served) -> None:
    batch = publisher_service_pb2.BatchPublishRequest(
        parent=PARENT, events=[event_pb2.EventInput(event_type="a")] * 400
    )
    for _ in range(3):
        await served.publisher.BatchPublish(batch)
    assert len((await events(served)).events) == 50
    for asked, got in ((1, 1), (51, 51), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)):
        assert len((await events(served, page_size=asked)).events) == got
    request = pb.ListEventsRequest(parent=PARENT, page_size=-1)
    refusal = await refused(served.events.ListEvents(request))
    assert list(refusal.fields) == ["page_size"]


async def test_a_page_fits_into_a_message(served: Served) -> None:
    """What is large by its attributes alone is cut too, and nothing is lost between the pages."""
    attributes = {f"a{number}": "🙂" * 1024 for number in range(64)}
    for number in range(40):
        await served.publisher.Publish(publish(event_id=f"e{number}", attributes=attributes))
    found: list[str] = []
    token = ""
    while True:
        answer = await events(served, page_size=1000, page_token=token)
        assert answer.ByteSize() < 3 * 1024 * 1024
        found += ids(answer)
        token = answer.next_page_token
        if not token:
            break
    assert found == [f"e{number}" for number in reversed(range(40))]


async def test_a_page_of_payloads_fits_into_a_message(served: Served) -> None:
    for number in range(30):
        payload = '"' + "x" * (250 * 1024) + '"'
        await served.publisher.Publish(publish(event_id=f"e{number}", data_json=payload))
    found: list[str] = []
    token = ""
    while True:
        answer = await events(
            served, page_size=1000, page_token=token, view=event_pb2.EVENT_VIEW_FULL
        )
        found += ids(answer)
        token = answer.next_page_token
        if not token:
            break
    assert found == [f"e{number}" for number in reversed(range(30))]
