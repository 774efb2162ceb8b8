"""Events: EventInput to the domain, and the domain to Event."""

from webhooks.v1 import event_pb2 as pb
from webhooks.v1 import publisher_service_pb2 as publisher_pb
from webhooks_server.domain.bounds import MAX_PAIRS
from webhooks_server.domain.event import Accepted, Event
from webhooks_server.domain.ids import EventId, TenantId
from webhooks_server.domain.subscription import JSON_CONTENT_TYPE
from webhooks_server.rpc.convert_struct import NotJson, render_struct
from webhooks_server.rpc.convert_times import (
    optional_timestamp,
    read_timestamp,
    timestamp,
    write_timestamp,
)
from webhooks_server.services.violations import Violations

_EMPTY_PAYLOAD = b"{}"
_UNSUPPORTED = "is not supported yet"


def read_event_input(
    message: pb.EventInput, tenant: TenantId, traceparent: str, violations: Violations
) -> Event:
    """Read an event as its publisher handed it over; what cannot be read is a violation."""
    kind = message.WhichOneof("payload")
    content_type = message.data_content_type
    if kind == "data_bytes" and not content_type:
        violations.add("data_content_type", "is required with data_bytes")
    occur_time = None
    if message.HasField("occur_time"):
        occur_time = read_timestamp(message.occur_time, "occur_time", violations)
    _refuse_unsupported(message, violations)
    payload = _read_payload(message, kind, violations)
    attributes = message.attributes
    too_many = len(attributes) > MAX_PAIRS
    if too_many:
        # Not copied either: one step of the interpreter does that, and every thread waits.
        violations.add("attributes", f"must have at most {MAX_PAIRS} pairs, has {len(attributes)}")
    # By position: names cost twice as much, for every event.
    return Event(
        tenant,
        EventId(message.event_id),
        message.event_type,
        payload,
        kind != "data_bytes",
        content_type or JSON_CONTENT_TYPE,
        message.source,
        message.subject,
        occur_time,
        dict(attributes) if attributes and not too_many else {},
        message.data_schema,
        traceparent=traceparent,
        payload_size=len(payload),
    )


def event_message(event: Event, *, full: bool) -> pb.Event:
    """Return an event as callers see it; without full, without its payload."""
    message = pb.Event(
        name=event.name,
        event_type=event.event_type,
        data_content_type=event.content_type,
        source=event.source,
        subject=event.subject,
        occur_time=optional_timestamp(event.occur_time),
        attributes=event.attributes,
        data_schema=event.data_schema,
        create_time=timestamp(event.create_time),
        data_size_bytes=event.payload_size,
        delivery_count=event.delivery_count,
        publisher=event.publisher,
    )
    if full and event.is_json:
        message.data_json = event.payload.decode()
    elif full:
        message.data_bytes = event.payload
    return message


def write_published(
    accepted: Accepted, response: publisher_pb.PublishResponse
) -> publisher_pb.PublishResponse:
    """Fill in what became of an event, and return it."""
    event = accepted.event
    if event.id:
        response.event = event.name
    if accepted.duplicate:
        response.duplicate = True
    response.matched_subscription_count = event.delivery_count
    # An event that was only validated has none.
    if event.create_time:
        write_timestamp(event.create_time, response.create_time)
    return response


def _read_payload(message: pb.EventInput, kind: str | None, violations: Violations) -> bytes:
    if kind == "data_json":
        return message.data_json.encode()
    if kind == "data_bytes":
        return message.data_bytes
    if kind is None:
        return _EMPTY_PAYLOAD
    try:
        return render_struct(message.data)
    except NotJson as problem:
        violations.add("data", str(problem))
        return _EMPTY_PAYLOAD


def _refuse_unsupported(message: pb.EventInput, violations: Violations) -> None:
    if message.ordering_key:
        violations.add("ordering_key", _UNSUPPORTED)
    if message.HasField("deliver_time"):
        violations.add("deliver_time", _UNSUPPORTED)
    if message.HasField("expire_time"):
        violations.add("expire_time", _UNSUPPORTED)
