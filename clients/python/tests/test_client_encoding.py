"""Data as it goes out."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import pydantic
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from webhooks.v1 import delivery_pb2, event_pb2, subscription_pb2
from webhooks_client import Event, InvalidArgument, PayloadTooLarge, RawJson, new_event_id
from webhooks_client.encode import event_input
from webhooks_client.messages import MAX_BATCH_BYTES, batch_request


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Kind(StrEnum):
    NEW = "new"


@dataclass
class Line:
    amount: Decimal
    color: Color


@dataclass(frozen=True, slots=True)
class Invoice:
    number: int
    uid: UUID
    paid: datetime
    due: date
    level: Level = Level.HIGH
    kind: Kind = Kind.NEW
    lines: tuple[Line, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


class Customer(pydantic.BaseModel):
    name: str
    since: datetime
    limit: Decimal


def encoded(data: object) -> str:
    return event_input(Event(event_type="a", data=data), "event").data_json


def refusal(data: object) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        encoded(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": [1, 2.5, True, None], "b": {}}, '{"a":[1,2.5,true,null],"b":{}}'),
        ({"z": 1, "a": 2}, '{"z":1,"a":2}'),
        (OrderedDict(b=1), '{"b":1}'),
        (MappingProxyType({"b": 1}), '{"b":1}'),
        ((1, "two"), '[1,"two"]'),
        ({}, "{}"),
        ("hällo 😀", '"hällo 😀"'),
        (None, "null"),
        (False, "false"),
        (17, "17"),
        (2**200, str(2**200)),
        (-0.0, "-0.0"),
        (RawJson(' {"a" :1.0}\n'), ' {"a" :1.0}\n'),
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        (Kind.NEW, '"new"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("10.10"), '"10.10"'),
        (date(2026, 2, 3), '"2026-02-03"'),
        (datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), '"2026-02-03T04:05:06Z"'),
        (
            datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=2))),
            '"2026-02-03T04:05:06.000007+02:00"',
        ),
    ],
)
def test_json_is_compact_and_exact(data: object, text: str) -> None:
    assert encoded(data) == text


def test_dataclasses_all_the_way_down() -> None:
    invoice = Invoice(
        number=9007199254740993,
        uid=UUID(int=2),
        paid=datetime(2026, 2, 3, tzinfo=UTC),
        due=date(2026, 3, 3),
        lines=(Line(Decimal("9.90"), Color.RED),),
        notes={"é": "ü"},
    )
    assert encoded(invoice) == (
        '{"number":9007199254740993,"uid":"00000000-0000-0000-0000-000000000002",'
        '"paid":"2026-02-03T00:00:00Z","due":"2026-03-03","level":3,"kind":"new",'
        '"lines":[{"amount":"9.90","color":"red"}],"notes":{"é":"ü"}}'
    )


def test_pydantic_models_alone_and_inside() -> None:
    customer = Customer(name="Ada", since=datetime(2026, 2, 3, tzinfo=UTC), limit=Decimal("1.10"))
    text = '{"name":"Ada","since":"2026-02-03T00:00:00Z","limit":"1.10"}'
    assert encoded(customer) == text
    assert encoded({"customers": [customer]}) == f'{{"customers":[{text}]}}'


def test_protobuf_messages_alone_and_inside() -> None:
    delivery = delivery_pb2.Delivery(
        name="d", event_type="a.b", state=delivery_pb2.Delivery.STATE_PENDING, attempt_count=2
    )
    text = '{"name":"d","eventType":"a.b","state":"STATE_PENDING","attemptCount":2}'
    assert encoded(delivery) == text
    assert encoded([delivery]) == f"[{text}]"
    assert encoded(event_pb2.Event(data_size_bytes=2**60)) == f'{{"dataSizeBytes":"{2**60}"}}'
    assert encoded(subscription_pb2.Subscription()) == "{}"


def test_the_well_known_messages_have_their_own_json() -> None:
    data = Struct()
    data.update({"a": [1, "x"]})
    assert json.loads(encoded(data)) == {"a": [1, "x"]}
    assert encoded(Timestamp(seconds=1)) == '"1970-01-01T00:00:01Z"'
    assert encoded(StringValue(value="x")) == '"x"'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(float("nan"), id="nan"),
        pytest.param({"a": [float("inf")]}, id="infinity"),
        pytest.param(Decimal("NaN"), id="decimal-nan"),
        pytest.param({1, 2}, id="set"),
        pytest.param(b"".join, id="function"),
        pytest.param(Invoice, id="dataclass-itself"),
        pytest.param(Customer, id="model-itself"),
        pytest.param({"a": b"bytes"}, id="bytes-inside"),
        pytest.param({(1, 2): 3}, id="key"),
        pytest.param({"a": RawJson("{}")}, id="raw-inside"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param(RawJson('"\ud800"'), id="raw-surrogate"),
        pytest.param({"a": 10**5000}, id="huge"),
        pytest.param(timedelta(seconds=1), id="duration"),
    ],
)
def test_what_is_not_json_is_refused_by_name(data: object) -> None:
    error = refusal(data)
    assert error.reason == "INVALID_FIELD"
    assert [violation.field for violation in error.field_violations] == ["event.data"]


def test_endless_and_bottomless_data_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "JSON" in refusal(endless).message
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert "JSON" in refusal(deep).message


@pytest.mark.parametrize("data", [b"\xff\x00", bytearray(b"\xff\x00"), memoryview(b"\xff\x00")])
def test_bytes_go_as_they_are(data: bytes) -> None:
    event = Event(event_type="a", data=data, data_content_type="image/png")
    message = event_input(event, "event")
    assert message.data_bytes == b"\xff\x00"
    assert message.data_content_type == "image/png"


def test_bytes_need_a_content_type() -> None:
    error = refusal(b"x")
    assert [one.field for one in error.field_violations] == ["event.data_content_type"]


def test_all_fields_go_along() -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 700, tzinfo=timezone(timedelta(hours=1)))
    event = Event(
        event_type="a.b",
        data={},
        event_id="e-1",
        data_content_type="application/x+json",
        source="s",
        subject="t",
        occur_time=moment,
        attributes={"k": "v"},
        data_schema="d",
    )
    message = event_input(event, "event")
    assert message.occur_time.ToDatetime(tzinfo=UTC) == moment
    message.ClearField("occur_time")
    assert message == event_pb2.EventInput(
        event_id="e-1",
        event_type="a.b",
        data_json="{}",
        data_content_type="application/x+json",
        source="s",
        subject="t",
        attributes={"k": "v"},
        data_schema="d",
    )


def test_a_time_without_a_zone_is_refused() -> None:
    event = Event(event_type="a", data={}, occur_time=datetime(2026, 2, 3))  # noqa: DTZ001
    with pytest.raises(InvalidArgument, match=r"event\.occur_time"):
        event_input(event, "event")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_type", "a\ud800"),
        ("event_type", 5),
        ("event_type", b"\xff"),
        ("event_id", "\ud800"),
        ("source", {}),
        ("attributes", {"k": 1}),
        ("attributes", {1: "v"}),
        ("attributes", {"k": "\ud800"}),
        ("attributes", "kv"),
        ("occur_time", "2026-02-03T04:05:06Z"),
        ("occur_time", datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))),
        ("data", RawJson(cast("str", b"{}"))),
    ],
)
def test_what_a_field_cannot_hold_is_refused_by_name(field: str, value: object) -> None:
    changed: dict[str, Any] = {field: value}
    event = replace(Event(event_type="a", data={}), **changed)
    with pytest.raises(InvalidArgument) as caught:
        event_input(event, "events[3]")
    assert [one.field for one in caught.value.field_violations] == [f"events[3].{field}"]


def test_an_event_has_its_id_from_the_start() -> None:
    event = Event(event_type="a", data={})
    assert event_input(event, "event").event_id == event_input(event, "event").event_id != ""
    assert replace(event, source="s").event_id == event.event_id


def test_new_ids_are_sorted_and_distinct() -> None:
    ids = [new_event_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    moments = [one[:16] for one in ids]
    assert moments == sorted(moments)
    for one in ids[:100]:
        uid = UUID(one.removeprefix("evt_"))
        assert (uid.version, uid.variant) == (7, "specified in RFC 4122")


def test_the_bounds_of_a_batch() -> None:
    small = [Event(event_type="a", data=1)] * 501
    assert len(batch_request("default", small[:500]).events) == 500
    with pytest.raises(InvalidArgument, match="1 to 500, are 501"):
        batch_request("default", small)
    with pytest.raises(InvalidArgument, match="1 to 500, are 0"):
        batch_request("default", [])
    half = "é" * (MAX_BATCH_BYTES // 4 - 1)  # with its quotes exactly half of the limit
    full = [Event(event_type="a", data=half)] * 2
    assert len(batch_request("default", full).events) == 2
    with pytest.raises(PayloadTooLarge) as caught:
        batch_request("default", [*full, Event(event_type="a", data=1)])
    assert caught.value.metadata == {"limit_bytes": str(MAX_BATCH_BYTES)}


def test_a_bad_event_of_a_batch_is_named() -> None:
    events = [Event(event_type="a", data=1), Event(event_type="a", data={1})]
    with pytest.raises(InvalidArgument, match=r"events\[1\]\.data: cannot be JSON"):
        batch_request("default", events)
