"""Deliveries by state, counted span by span: each is a short read, so that nobody waits (EC4)."""

from typing import Any

from sqlalchemy import Connection, func, select

from webhooks_server.domain.delivery import DeliveryCounts, DeliveryState
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.schema import deliveries

_SPAN = 50_000


def count_span(
    connection: Connection, *, tenant: TenantId | None, before: int | None
) -> tuple[DeliveryCounts, int]:
    """Count the deliveries below a seq, None for all, down to the one that is returned; 0 ends."""
    if before is None:
        before = (connection.execute(select(func.max(deliveries.c.seq))).scalar() or 0) + 1
    low = max(0, before - _SPAN)
    query = (
        select(
            deliveries.c.state,
            func.count(),
            func.sum(deliveries.c.attempt_count),
            func.count().filter(deliveries.c.attempt_count > 0),
            func.min(deliveries.c.create_time),
        )
        .where(deliveries.c.seq >= low, deliveries.c.seq < before)
        .group_by(deliveries.c.state)
    )
    if tenant is not None:
        query = query.where(deliveries.c.tenant == tenant)
    rows: dict[int, Any] = {row[0]: row for row in connection.execute(query)}
    return _counts_of(rows), low


def total(one: DeliveryCounts, other: DeliveryCounts) -> DeliveryCounts:
    """Return what two spans have together."""
    times = [one.oldest_pending_time, other.oldest_pending_time]
    return DeliveryCounts(
        pending=one.pending + other.pending,
        retrying=one.retrying + other.retrying,
        succeeded=one.succeeded + other.succeeded,
        failed=one.failed + other.failed,
        cancelled=one.cancelled + other.cancelled,
        expired=one.expired + other.expired,
        attempts=one.attempts + other.attempts,
        oldest_pending_time=min((time for time in times if time is not None), default=None),
    )


def _counts_of(rows: dict[int, Any]) -> DeliveryCounts:
    counted = {state: rows[state][1] if state in rows else 0 for state in DeliveryState}
    waiting = rows.get(DeliveryState.PENDING)
    return DeliveryCounts(
        pending=counted[DeliveryState.PENDING],
        retrying=waiting[3] if waiting else 0,
        succeeded=counted[DeliveryState.SUCCEEDED],
        failed=counted[DeliveryState.FAILED],
        cancelled=counted[DeliveryState.CANCELLED],
        expired=counted[DeliveryState.EXPIRED],
        attempts=sum(row[2] for row in rows.values()),
        oldest_pending_time=Instant(waiting[4]) if waiting else None,
    )
