"""Deliveries, attempts and counts: the domain to the contract."""

from webhooks.v1 import delivery_pb2 as pb
from webhooks_server.domain.delivery import Attempt, Delivery, DeliveryCounts
from webhooks_server.rpc.convert_times import (
    duration,
    optional_duration,
    optional_timestamp,
    timestamp,
)


def delivery_message(delivery: Delivery, *, full: bool) -> pb.Delivery:
    """Return a delivery as callers see it; without full, its last attempt is brief."""
    last = delivery.last_attempt
    return pb.Delivery(
        name=delivery.name,
        event=f"tenants/{delivery.tenant}/events/{delivery.event}",
        event_type=delivery.event_type,
        state=pb.Delivery.State.ValueType(delivery.state),
        trigger=pb.Delivery.Trigger.ValueType(delivery.trigger),
        attempt_count=delivery.attempt_count,
        last_attempt=None if last is None else attempt_message(last, delivery.name, full=full),
        create_time=timestamp(delivery.create_time),
        next_attempt_time=optional_timestamp(delivery.next_attempt_time),
        complete_time=optional_timestamp(delivery.complete_time),
        state_reason=delivery.state_reason,
    )


def attempt_message(attempt: Attempt, delivery_name: str, *, full: bool) -> pb.DeliveryAttempt:
    """Return an attempt as callers see it; without full, without headers and body."""
    message = pb.DeliveryAttempt(
        name=f"{delivery_name}/attempts/{attempt.number}",
        attempt_number=attempt.number,
        outcome=pb.DeliveryAttempt.Outcome.ValueType(attempt.outcome),
        response_status_code=attempt.status_code,
        error_message=attempt.error_message,
        start_time=timestamp(attempt.start_time),
        latency=duration(attempt.latency),
        url=attempt.url,
        remote_ip_address=attempt.remote_ip_address,
        response_body_truncated=attempt.response_body_truncated,
        retry_after=optional_duration(attempt.retry_after),
        relay=attempt.relay,
        late=attempt.late,
    )
    if full:
        message.request_headers.update(attempt.request_headers)
        message.response_headers.update(attempt.response_headers)
        # A cut may fall inside a character, and a receiver may answer with anything.
        message.response_body = attempt.response_body.decode(errors="replace")
    return message


def stats_message(counts: DeliveryCounts) -> pb.DeliveryStats:
    """Return deliveries counted by state."""
    return pb.DeliveryStats(
        pending_count=counts.pending,
        retrying_count=counts.retrying,
        succeeded_count=counts.succeeded,
        failed_count=counts.failed,
        cancelled_count=counts.cancelled,
        expired_count=counts.expired,
        attempt_count=counts.attempts,
        oldest_pending_time=optional_timestamp(counts.oldest_pending_time),
    )
