"""The input bounds of events, each at its edge and one beyond (security.md, 5)."""

from collections.abc import Mapping
from pathlib import Path

import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from tests.harness.requests import publish, stored_event
from tests.harness.served import PARENT, Served, open_served, refusal_of, refused
from webhooks.v1 import event_pb2
from webhooks.v1 import publisher_service_pb2 as pb

KIB = 1024
PAYLOAD = 256 * KIB


def json_of(size: int) -> str:
    return '"' + "x" * (size - 2) + '"'


def attributes(count: int) -> dict[str, str]:
    return {f"a{number}": "" for number in range(count)}


def struct_of(size: int) -> Struct:
    """A Struct whose JSON text has this many bytes: {"a":"…"}."""
    return Struct(fields={"a": Value(string_value="x" * (size - 8))})


# By field: what is just allowed, and what is just not.
EDGES: Mapping[str, tuple[str, object, object]] = {
    "a type of 128 characters": ("event_type", "t" * 128, "t" * 129),
    "a type of 8 segments": ("event_type", "a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h.i"),
    "an id of 64 characters": ("event_id", "e" * 64, "e" * 65),
    "an id without a full stop": ("event_id", "A-Z_09", "a.b"),
    "JSON of 256 KiB": ("data_json", json_of(PAYLOAD), json_of(PAYLOAD + 1)),
    "JSON of 256 KiB in UTF-8": (
        "data_json",
        f'"{"é" * ((PAYLOAD - 2) // 2)}"',
        f'"{"é" * (PAYLOAD // 2)}"',
    ),
    "a Struct of 256 KiB": ("data", struct_of(PAYLOAD), struct_of(PAYLOAD + 1)),
    "JSON of depth 128": ("data_json", "[" * 128 + "]" * 128, "[" * 129 + "]" * 129),
    "64 attributes": ("attributes", attributes(64), attributes(65)),
    "an attribute key of 63 characters": ("attributes", {"k" * 63: ""}, {"k" * 64: ""}),
    "an attribute key of 1 character": ("attributes", {"k": ""}, {"": ""}),
    "an attribute key in lower case": ("attributes", {"a.b_c-0": ""}, {"A": ""}),
    "an attribute of 1 KiB": ("attributes", {"a": "é" * KIB}, {"a": "é" * (KIB + 1)}),
    "a source of 1,024 characters": ("source", "🙂" * KIB, "🙂" * (KIB + 1)),
    "a subject of 1,024 characters": ("subject", "s" * KIB, "s" * (KIB + 1)),
    "a schema of 1,024 characters": ("data_schema", "s" * KIB, "s" * (KIB + 1)),
    "a media type of 127 characters": (
        "data_content_type",
        "a/" + "b" * 125,
        "a/" + "b" * 126,
    ),
    "the first second": (
        "occur_time",
        Timestamp(seconds=-62_135_596_800),
        Timestamp(seconds=-62_135_596_801),
    ),
    "the last second": (
        "occur_time",
        Timestamp(seconds=253_402_300_799, nanos=999_999_999),
        Timestamp(seconds=253_402_300_800),
    ),
    "a whole second of nanoseconds": (
        "occur_time",
        Timestamp(nanos=999_999_999),
        Timestamp(nanos=1_000_000_000),
    ),
}


@pytest.mark.parametrize("name", EDGES)
async def test_at_the_edge_it_is_accepted(shared: Served, name: str) -> None:
    field, allowed, _ = EDGES[name]
    answer = await shared.publisher.Publish(publish(**{field: allowed}))
    event = await stored_event(shared, answer.event)
    if field not in ("data", "event_id", "occur_time"):
        assert getattr(event, field) == allowed


@pytest.mark.parametrize("name", EDGES)
async def test_beyond_the_edge_it_is_refused(shared: Served, name: str) -> None:
    field, _, refused_value = EDGES[name]
    request = publish(**{field: refused_value})
    refusal = await refused(shared.publisher.Publish(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == [f"event.{field}"]
    # Validation knows the same bounds.
    request.validate_only = True
    validated = await refused(shared.publisher.Publish(request))
    assert validated.fields == refusal.fields


BAD: Mapping[str, dict[str, object]] = {
    "no type": {"event_type": ""},
    "a type with a space": {"event_type": "a b"},
    "a type that ends in a full stop": {"event_type": "a."},
    "a type with an empty segment": {"event_type": "a..b"},
    "a type with a wildcard": {"event_type": "a.*"},
    "a type beyond ASCII": {"event_type": "é"},
    "a type with NUL": {"event_type": "a\0"},
    "a type with a line feed": {"event_type": "a\n"},
    "a reserved type": {"event_type": "webhooks.ping"},
    "the reserved segment": {"event_type": "webhooks"},
    "an empty text": {"data_json": ""},
    "white space": {"data_json": " \n"},
    "two texts": {"data_json": "{} {}"},
    "a cut text": {"data_json": '{"a":'},
    "NaN": {"data_json": "[NaN]"},
    "Infinity": {"data_json": "-Infinity"},
    "a byte order mark": {"data_json": "\ufeff{}"},
    "a no-break space": {"data_json": "\u00a0{}"},
    "a form feed": {"data_json": "\f{}"},
    "a raw control character": {"data_json": '"\0"'},
    "single quotes": {"data_json": "{'a':1}"},
    "a leading zero": {"data_json": "01"},
    "a trailing comma": {"data_json": "[1,]"},
    "bytes without a type": {"data_bytes": b"x"},
    "no media type": {"data_content_type": "json"},
    "a media type with a line feed": {"data_content_type": "a/b\r\nX: y"},
    "a source with NUL": {"source": "a\0b"},
    "a subject with NUL": {"subject": "\0"},
    "a schema with NUL": {"data_schema": "\0"},
    "an attribute with NUL": {"attributes": {"a": "\0"}},
    "an ordering key": {"ordering_key": "k"},
    "a deliver time": {"deliver_time": Timestamp(seconds=1)},
    "an expire time": {"expire_time": Timestamp(seconds=1)},
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_malformed_is_refused(shared: Served, name: str) -> None:
    fields = BAD[name]
    refusal = await refused(shared.publisher.Publish(publish(**fields)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"
    (wrong,) = refusal.fields
    expected = "data_content_type" if name == "bytes without a type" else next(iter(fields))
    assert wrong == f"event.{expected}"
    if next(iter(fields)) in ("ordering_key", "deliver_time", "expire_time"):
        assert refusal.fields[wrong] == "is not supported yet"


GOOD_JSON = [
    "null",
    " \t\r\n[1 ]\n",
    "1e400",
    "-0",
    "1" * 5000,
    '{"a":1,"a":2}',
    r'"\ud800"',
    r'"\u0000"',
    '"\u2028"',
]


@pytest.mark.parametrize("text", GOOD_JSON, ids=range(len(GOOD_JSON)))
async def test_any_text_of_rfc_8259_is_kept_as_it_is(shared: Served, text: str) -> None:
    answer = await shared.publisher.Publish(publish(data_json=text))
    assert (await stored_event(shared, answer.event)).data_json == text


def told_of(field: str, limit: int) -> dict[str, str]:
    return {"field": field, "violation_count": "1", "limit_bytes": str(limit)}


async def test_a_payload_that_is_too_large_says_how_large_it_may_be(shared: Served) -> None:
    for fields in (
        {"data_json": json_of(PAYLOAD + 1)},
        {"data_bytes": b"x" * (PAYLOAD + 1), "data_content_type": "a/b"},
        {"data": struct_of(PAYLOAD + 1)},
    ):
        refusal = await refused(shared.publisher.Publish(publish(**fields)))
        assert refusal.reason == "PAYLOAD_TOO_LARGE"
        field = f"event.{next(iter(fields))}"
        assert refusal.metadata == told_of(field, PAYLOAD)
        assert list(refusal.fields) == [field]


async def test_bytes_of_256_kib_are_accepted(shared: Served) -> None:
    request = publish(data_bytes=b"x" * PAYLOAD, data_content_type="a/b")
    answer = await shared.publisher.Publish(request)
    assert (await stored_event(shared, answer.event)).data_size_bytes == PAYLOAD


@pytest.mark.parametrize("largest", [1, 3 * KIB * KIB])
async def test_the_payload_bound_is_a_setting(tmp_path: Path, largest: int) -> None:
    async with open_served(tmp_path, max_payload_bytes=largest) as served:
        allowed = publish(data_bytes=b"x" * largest, data_content_type="a/b")
        await served.publisher.Publish(allowed)
        allowed.event.data_bytes += b"x"
        refusal = await refused(served.publisher.Publish(allowed))
        assert refusal.metadata == told_of("event.data_bytes", largest)


async def test_a_message_beyond_8_mib_is_refused_by_grpc_itself(shared: Served) -> None:
    within = publish(data_bytes=b"x" * (8 * KIB * KIB - 100), data_content_type="a/b")
    assert within.ByteSize() < 8 * KIB * KIB
    refusal = await refused(shared.publisher.Publish(within))
    assert refusal.reason == "PAYLOAD_TOO_LARGE"
    beyond = publish(data_bytes=b"x" * (8 * KIB * KIB), data_content_type="a/b")
    refusal = await refused(shared.publisher.Publish(beyond))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def batch(count: int, payload: bytes = b"") -> pb.BatchPublishRequest:
    event = event_pb2.EventInput(event_type="a")
    if payload:
        event.data_bytes = payload
        event.data_content_type = "a/b"
    return pb.BatchPublishRequest(parent=PARENT, events=[event] * count)


async def test_a_batch_has_1_to_500_events(shared: Served) -> None:
    for count in (1, 500):
        answer = await shared.publisher.BatchPublish(batch(count))
        assert len({result.event for result in answer.results}) == count
    for count in (0, 501):
        refusal = await refused(shared.publisher.BatchPublish(batch(count)))
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(refusal.fields) == ["events"]


async def test_a_batch_has_at_most_3_mib_of_payloads(shared: Served) -> None:
    request = batch(12, b"x" * PAYLOAD)
    await shared.publisher.BatchPublish(request)
    request.events.add(event_type="a", data_json="1")
    refusal = await refused(shared.publisher.BatchPublish(request))
    assert refusal.reason == "PAYLOAD_TOO_LARGE"
    assert refusal.metadata == told_of("events", 3 * KIB * KIB)
    assert list(refusal.fields) == ["events"]


def nested(depth: int) -> bytes:
    """A PublishRequest whose Struct holds this many lists in each other."""

    def field(number: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    value = Value(number_value=1).SerializeToString()
    for _ in range(depth):
        value = field(6, field(1, value))
    struct = field(1, field(1, b"a") + field(2, value))
    return field(1, PARENT.encode()) + field(2, field(2, b"deep") + field(3, struct))


async def test_a_struct_may_be_as_deep_as_protobuf_allows(shared: Served) -> None:
    """Deeper ones do not parse, and are told so like everything else that does not."""
    method = "/webhooks.v1.PublisherService/Publish"
    answer = pb.PublishResponse.FromString(await shared.raw(method, nested(48)))
    text = (await stored_event(shared, answer.event)).data_json
    assert text == '{"a":' + "[" * 48 + "1" + "]" * 48 + "}"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await shared.raw(method, nested(49))
    refusal = refusal_of(failed.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    "parent", ["", "default", "tenants/", "tenants/A", "tenants/-", "x/default"]
)
async def test_the_parent_must_be_a_tenant(shared: Served, parent: str) -> None:
    request = publish()
    request.parent = parent
    refusal = await refused(shared.publisher.Publish(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["parent"]


@pytest.mark.parametrize("tenant", ["other", "a" * 63])
async def test_there_is_no_other_tenant(shared: Served, tenant: str) -> None:
    request = publish()
    request.parent = f"tenants/{tenant}"
    refusal = await refused(shared.publisher.Publish(request))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.metadata["resource_type"] == "webhooks.v1.Tenant"
    request.parent = "tenants/" + "a" * 64
    assert (await refused(shared.publisher.Publish(request))).reason == "INVALID_FIELD"
