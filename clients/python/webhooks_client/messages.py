"""Requests from events, results from responses."""

from collections.abc import Iterable
from datetime import UTC

import grpc

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_client.encode import event_input, payload_size
from webhooks_client.errors import ErrorDetails, PayloadTooLarge, invalid
from webhooks_client.events import Event, Published

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 3 * 1024 * 1024


def publish_request(tenant: str, event: Event) -> pb.PublishRequest:
    """Return the request that publishes one event."""
    return pb.PublishRequest(parent=f"tenants/{tenant}", event=event_input(event, "event"))


def batch_request(tenant: str, events: Iterable[Event]) -> pb.BatchPublishRequest:
    """Return the request that publishes all events or none.

    Raises InvalidArgument or PayloadTooLarge for more than one batch holds.
    """
    inputs = [event_input(event, f"events[{index}]") for index, event in enumerate(events)]
    if not 1 <= len(inputs) <= MAX_BATCH_EVENTS:
        raise invalid("events", f"must be 1 to {MAX_BATCH_EVENTS}, are {len(inputs)}")
    size = sum(payload_size(one) for one in inputs)
    if size > MAX_BATCH_BYTES:
        raise _too_large(size)
    return pb.BatchPublishRequest(parent=f"tenants/{tenant}", events=inputs)


def published(response: pb.PublishResponse) -> Published:
    """Return what became of an event."""
    return Published(
        event=response.event,
        event_id=response.event.rpartition("/")[2],
        create_time=response.create_time.ToDatetime(tzinfo=UTC),
        duplicate=response.duplicate,
        matched_subscription_count=response.matched_subscription_count,
    )


def _too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the payloads of a batch must have at most {MAX_BATCH_BYTES} bytes together, have {size}",
        ErrorDetails(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="PAYLOAD_TOO_LARGE",
            metadata={"limit_bytes": str(MAX_BATCH_BYTES)},
        ),
    )
