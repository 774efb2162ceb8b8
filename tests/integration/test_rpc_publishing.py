"""Publish and BatchPublish."""

import asyncio
import json
import math
import sqlite3
from pathlib import Path

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from tests.harness.receiver import Receiver
from tests.harness.requests import publish, stored_event, subscribe, unsubscribe
from tests.harness.served import PARENT, Served, refused
from webhooks.v1 import event_pb2, event_service_pb2
from webhooks.v1 import publisher_service_pb2 as pb

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_an_accepted_event_reaches_the_receiver_byte_for_byte(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url, "invoice.*")
    text = '{"b":1, "a":9007199254740993,"b":2,"x":"\\ud800 é 🙂"}'
    answer = await served.publisher.Publish(
        publish(data_json=text, event_id="e1"), metadata=(("traceparent", TRACEPARENT),)
    )
    assert answer.event == f"{PARENT}/events/e1"
    assert answer.matched_subscription_count == 1
    assert not answer.duplicate
    (request,) = await receiver.got(1)
    assert request.body == text.encode()
    assert request.headers["webhook-id"] == "e1"
    assert request.headers["traceparent"] == TRACEPARENT


@pytest.mark.parametrize(
    "traceparent", ["", "00-0-0-01", TRACEPARENT.upper(), "ff" + TRACEPARENT[2:]]
)
async def test_a_malformed_traceparent_is_ignored(
    shared: Served, receiver: Receiver, traceparent: str
) -> None:
    subscription = await subscribe(shared, receiver.url)
    await shared.publisher.Publish(publish(), metadata=(("traceparent", traceparent),))
    (request,) = await receiver.got(1)
    assert "traceparent" not in request.headers
    await unsubscribe(shared, subscription.name)


async def test_everything_that_was_published_can_be_read_back(shared: Served) -> None:
    given = event_pb2.EventInput(
        event_id="all-fields",
        event_type="order.shipped",
        data_json="[1,2]",
        data_content_type="application/vnd.order+json; v=1",
        source="shop/1",
        subject="order/2",
        occur_time=Timestamp(seconds=1_700_000_000, nanos=123_456_789),
        attributes={"region": "eu", "a.b-c_d": ""},
        data_schema="https://example.com/schema",
    )
    answer = await shared.publisher.Publish(pb.PublishRequest(parent=PARENT, event=given))
    event = await stored_event(shared, answer.event)
    for field in ("event_type", "data_json", "data_content_type", "source", "subject"):
        assert getattr(event, field) == getattr(given, field)
    assert event.data_schema == given.data_schema
    assert dict(event.attributes) == dict(given.attributes)
    # Cut to the microsecond.
    assert event.occur_time == Timestamp(seconds=1_700_000_000, nanos=123_456_000)
    assert event.create_time == answer.create_time
    assert event.data_size_bytes == 5
    assert event.delivery_count == 0
    assert event.publisher == ""


async def test_no_payload_means_an_empty_object(shared: Served) -> None:
    answer = await shared.publisher.Publish(publish())
    event = await stored_event(shared, answer.event)
    assert event.data_json == "{}"
    assert event.data_content_type == "application/json"


async def test_an_id_is_made_where_there_is_none(shared: Served) -> None:
    answers = [await shared.publisher.Publish(publish()) for _ in range(2)]
    ids = [answer.event.removeprefix(f"{PARENT}/events/") for answer in answers]
    assert all(one.startswith("evt_") and len(one) == 36 for one in ids)
    assert ids[0] < ids[1]


async def test_bytes_keep_their_content_type(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url)
    payload = bytes(range(256))
    answer = await served.publisher.Publish(
        publish(data_bytes=payload, data_content_type="image/png")
    )
    (request,) = await receiver.got(1)
    assert request.body == payload
    assert request.headers["content-type"] == "image/png"
    event = await stored_event(served, answer.event)
    assert event.data_bytes == payload


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "{}"),
        ({"b": 1, "a": [None, True, "é", {"z": 0, "y": -0.5}]}, None),
        ({"n": 2.0**53 - 1, "m": -(2.0**53 - 1)}, '{"m":-9007199254740991,"n":9007199254740991}'),
        ({"n": 2.0**53}, '{"n":9007199254740992.0}'),
        ({"n": 1e300}, '{"n":1e+300}'),
        ({"a\tb": "\u2028"}, None),
    ],
)
async def test_a_struct_is_rendered_compact_and_sorted(
    shared: Served, data: dict[str, float], text: str | None
) -> None:
    struct = Struct()
    struct.update(data)
    answer = await shared.publisher.Publish(publish(data=struct))
    event = await stored_event(shared, answer.event)
    assert event.data_json == text or text is None
    assert json.loads(event.data_json) == data
    compact = json.dumps(
        json.loads(event.data_json), separators=(",", ":"), sort_keys=True, ensure_ascii=False
    )
    assert event.data_json == compact


async def test_a_large_struct_does_not_hold_up_other_calls(shared: Served) -> None:
    struct = Struct()
    struct.update({"items": ["x" * 100] * 1000})
    answer = await shared.publisher.Publish(publish(data=struct))
    event = await stored_event(shared, answer.event)
    assert json.loads(event.data_json) == {"items": ["x" * 100] * 1000}


@pytest.mark.parametrize(
    "value",
    [Value(number_value=math.nan), Value(number_value=math.inf), Value()],
    ids=["NaN", "Infinity", "no kind"],
)
async def test_a_struct_that_is_no_json_is_refused(shared: Served, value: Value) -> None:
    refusal = await refused(shared.publisher.Publish(publish(data=Struct(fields={"a": value}))))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["event.data"]


async def test_the_same_event_again_is_a_duplicate(shared: Served) -> None:
    first = await shared.publisher.Publish(publish(event_id="again", data_json="1"))
    second = await shared.publisher.Publish(publish(event_id="again", data_json="1"))
    assert second.duplicate
    assert not first.duplicate
    assert second.event == first.event
    assert second.create_time == first.create_time


async def test_a_duplicate_is_not_sent_again(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url)
    for _ in range(3):
        answer = await served.publisher.Publish(publish(event_id="once"))
        assert answer.matched_subscription_count == 1
    await served.publisher.Publish(publish(event_id="after"))
    await receiver.got(2)
    assert sorted(receiver.ids) == ["after", "once"]


@pytest.mark.parametrize(
    "other",
    [
        {"event_type": "invoice.void"},
        {"data_json": "2"},
        {"source": "x"},
        {"subject": "x"},
        {"data_schema": "x"},
        {"data_content_type": "text/plain"},
        {"attributes": {"a": "b"}},
        {"occur_time": Timestamp(seconds=1)},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_the_same_id_with_other_content_is_refused(
    shared: Served, other: dict[str, object]
) -> None:
    await shared.publisher.Publish(publish(event_id="reused", data_json="1"))
    refusal = await refused(
        shared.publisher.Publish(publish(**{"event_id": "reused", "data_json": "1", **other}))
    )
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "EVENT_ID_REUSED"
    assert refusal.metadata["resource_name"] == f"{PARENT}/events/reused"
    assert "ResourceInfo" in refusal.details


async def test_a_batch_is_answered_in_its_order(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url, "a.*")
    events = [
        event_pb2.EventInput(event_id=f"b{number}", event_type="a.b" if number % 2 else "c")
        for number in range(20)
    ]
    events.append(events[0])
    answer = await served.publisher.BatchPublish(
        pb.BatchPublishRequest(parent=PARENT, events=events)
    )
    names = [result.event.rpartition("/")[2] for result in answer.results]
    assert names == [event.event_id for event in events]
    assert [result.duplicate for result in answer.results] == [False] * 20 + [True]
    counts = [result.matched_subscription_count for result in answer.results]
    assert counts == [number % 2 for number in range(20)] + [0]
    await receiver.got(10)


async def test_a_batch_is_accepted_whole_or_not_at_all(shared: Served) -> None:
    await shared.publisher.Publish(publish(event_id="taken"))
    events = [
        event_pb2.EventInput(event_id="new-1", event_type="a"),
        event_pb2.EventInput(event_id="taken", event_type="b"),
    ]
    batch = pb.BatchPublishRequest(parent=PARENT, events=events)
    refusal = await refused(shared.publisher.BatchPublish(batch))
    assert refusal.reason == "EVENT_ID_REUSED"
    absent = event_service_pb2.GetEventRequest(name=f"{PARENT}/events/new-1")
    assert (await refused(shared.events.GetEvent(absent))).code is grpc.StatusCode.NOT_FOUND


async def test_each_bad_event_of_a_batch_is_named(shared: Served) -> None:
    events = [
        event_pb2.EventInput(event_type="a"),
        event_pb2.EventInput(event_type="a b"),
        event_pb2.EventInput(event_type="a", event_id="a.b", data_json="{"),
        event_pb2.EventInput(event_type="a", data_bytes=b"x"),
    ]
    batch = pb.BatchPublishRequest(parent=PARENT, events=events)
    refusal = await refused(shared.publisher.BatchPublish(batch))
    assert set(refusal.fields) == {
        "events[1].event_type",
        "events[2].event_id",
        "events[2].data_json",
        "events[3].data_content_type",
    }


async def test_a_subscription_gets_every_event_published_after_its_creation(
    served: Served, receiver: Receiver
) -> None:
    """The index is checked against the store at each publish, not refreshed now and then."""
    for number in range(20):
        made = await subscribe(served, f"{receiver.url}/{number}", f"t{number}.*")
        answer = await served.publisher.Publish(publish(event_type=f"t{number}.x"))
        assert answer.matched_subscription_count == 1
        await unsubscribe(served, made.name)
        answer = await served.publisher.Publish(publish(event_type=f"t{number}.x"))
        assert answer.matched_subscription_count == 0


async def test_concurrent_publishers_lose_nothing(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url)
    await asyncio.gather(
        *(served.publisher.Publish(publish(event_id=f"c{number}")) for number in range(200))
    )
    await receiver.got(200)
    assert sorted(receiver.ids) == sorted(f"c{number}" for number in range(200))


async def test_what_a_caller_gave_up_on_is_delivered_soon(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url)
    calls = [served.publisher.Publish(publish(event_id=f"gone{number}")) for number in range(50)]
    await asyncio.sleep(0.005)
    for call in calls:
        call.cancel()
    report = await served.stores.control.audit(None)
    await receiver.got(report.deliveries, within=6.0)


async def test_a_store_that_is_stuck_is_told_within_the_caller_s_deadline(
    served: Served, tmp_path: Path
) -> None:
    stranger = sqlite3.connect(tmp_path / "webhooks.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    batch = pb.BatchPublishRequest(parent=PARENT, events=[event_pb2.EventInput(event_type="a")])
    refusals = [
        await refused(served.publisher.Publish(publish(event_id="e1"), timeout=0.5)),
        await refused(served.publisher.BatchPublish(batch, timeout=0.8)),
    ]
    for refusal in refusals:
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "STORE_UNAVAILABLE"
        assert "RetryInfo" in refusal.details
    stranger.execute("COMMIT")
    stranger.close()
    # The engine was not told that the store is away: the caller's patience says nothing about it.
    assert await served.server.is_serving()
    answer = await served.publisher.Publish(publish(event_id="e1"), timeout=5)
    assert answer.event == f"{PARENT}/events/e1"
    # Its commit was under way, and could not be called back.
    assert answer.duplicate
