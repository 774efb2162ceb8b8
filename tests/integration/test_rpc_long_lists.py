"""Lists as long as a whole message: counted and refused, never walked through on the event loop."""

import time
from collections.abc import Iterable

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.harness.served import PARENT, Refusal, Served, refusal_of
from webhooks.v1 import event_pb2
from webhooks.v1 import publisher_service_pb2 as publisher_pb
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb

MESSAGE_BYTES = 8 * 1024 * 1024 - 1024
CPU_SECONDS = 0.7
"""Parsing such a message takes up to a quarter of it, walking through it several times as much."""

Config = pb.SubscriptionConfig


def varint(number: int) -> bytes:
    low = bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
    return low + (varint(number >> 7) if number > 0x7F else b"")


def field(kind: type[Message], name: str, data: bytes) -> bytes:
    """A length-delimited field as it is on the wire."""
    tag = kind.DESCRIPTOR.fields_by_name[name].number << 3 | 2
    return varint(tag) + varint(len(data)) + data


def pairs(kind: type[Message], name: str) -> bytes:
    """As many different pairs of a map as a message has room for."""
    one = field(kind, name, b"\n\x06%06x" % 0)
    entries: Iterable[bytes] = (b"\n\x06%06x" % at for at in range(MESSAGE_BYTES // len(one)))
    return b"".join([one[:-8] + entry for entry in entries])


def filled(one: bytes) -> bytes:
    return one * (MESSAGE_BYTES // len(one))


def created(subscription: bytes) -> tuple[str, bytes]:
    kind = service_pb.CreateSubscriptionRequest
    data = service_pb.CreateSubscriptionRequest(parent=PARENT).SerializeToString()
    return "SubscriptionService/CreateSubscription", data + field(
        kind, "subscription", subscription
    )


def configured(config: bytes) -> tuple[str, bytes]:
    return created(field(pb.Subscription, "config", config))


def masked(paths: bytes) -> tuple[str, bytes]:
    kind = service_pb.UpdateSubscriptionRequest
    named = pb.Subscription(name=f"{PARENT}/subscriptions/none")
    data = service_pb.UpdateSubscriptionRequest(subscription=named).SerializeToString()
    return "SubscriptionService/UpdateSubscription", data + field(kind, "update_mask", paths)


async def refused_in_time(served: Served, method: str, data: bytes) -> Refusal:
    """Of processor time, which a busy machine does not lengthen; the server is in this process."""
    start = time.process_time()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.raw(f"/webhooks.v1.{method}", data)
    assert time.process_time() - start < CPU_SECONDS
    return refusal_of(raised.value)


async def test_a_mask_has_at_most_64_paths(shared: Served) -> None:
    method, data = masked(filled(field(FieldMask, "paths", b"a")))
    refusal = await refused_in_time(shared, method, data)
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_UPDATE_MASK",
    )
    assert refusal.fields["update_mask"].startswith("must have at most 64 paths, has ")


async def test_a_mask_of_64_paths_is_read(shared: Served) -> None:
    method, data = masked(field(FieldMask, "paths", b"active") * 64)
    refusal = await refused_in_time(shared, method, data)
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    method, data = masked(field(FieldMask, "paths", b"active") * 65)
    refusal = await refused_in_time(shared, method, data)
    assert refusal.reason == "INVALID_UPDATE_MASK"


async def test_schemes_are_counted_first(shared: Served) -> None:
    data = field(
        Config, "signature_schemes", bytes([pb.SIGNATURE_SCHEME_HUB_SHA256]) * MESSAGE_BYTES
    )
    refusal = await refused_in_time(shared, *configured(data))
    assert list(refusal.fields) == ["subscription.config.signature_schemes"]


async def test_patterns_are_counted_first(shared: Served) -> None:
    data = filled(field(pb.Subscription, "events", b"a"))
    refusal = await refused_in_time(shared, *created(data))
    assert list(refusal.fields) == ["subscription.events"]


@pytest.mark.parametrize("name", ["headers", "secret_headers"])
async def test_headers_are_counted_first(shared: Served, name: str) -> None:
    refusal = await refused_in_time(shared, *configured(pairs(Config, name)))
    assert list(refusal.fields) == ["subscription.config.headers"]


async def test_annotations_are_counted_first(shared: Served) -> None:
    refusal = await refused_in_time(shared, *created(pairs(pb.Subscription, "annotations")))
    assert list(refusal.fields) == ["subscription.annotations"]


async def test_attributes_are_counted_first(shared: Served) -> None:
    event = event_pb2.EventInput(event_type="a").SerializeToString()
    event += pairs(event_pb2.EventInput, "attributes")
    data = publisher_pb.PublishRequest(parent=PARENT).SerializeToString()
    data += field(publisher_pb.PublishRequest, "event", event)
    refusal = await refused_in_time(shared, "PublisherService/Publish", data)
    assert list(refusal.fields) == ["event.attributes"]
