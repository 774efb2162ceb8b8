"""Deliveries by state: what is pending span by span, each a short read (EC4).

What is final is counted among the newest alone: history may hold millions.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection, func, literal, literal_column, select, tuple_

from webhooks_server.domain.delivery import DeliveryCounts, DeliveryState
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage import pages
from webhooks_server.storage.sql.schema import deliveries

_SPAN = 50_000
_KEY = (
    deliveries.c.partition,
    deliveries.c.subscription,
    deliveries.c.due_time,
    deliveries.c.seq,
)
# A literal, so that a plan for all values of the parameters uses the index of what is pending.
_IS_PENDING = deliveries.c.state == literal_column("1")


class Mark(NamedTuple):
    """A place in the index of what is pending."""

    partition: int
    subscription: int
    due_time: int
    seq: int


FIRST = Mark(-1, 0, 0, 0)


class Pending(NamedTuple):
    """What a span holds, and where the next one begins; None where there is none."""

    found: int
    retrying: int
    oldest: Instant | None
    rest: Mark | None


def count_pending(connection: Connection, *, tenant: TenantId | None, after: Mark) -> Pending:
    """Count the pending deliveries of the span after a mark."""
    begin = tuple_(*_KEY) > _tuple_of(after)
    last = connection.execute(
        select(*_KEY).where(_IS_PENDING, begin).order_by(*_KEY).limit(1).offset(_SPAN - 1)
    ).first()
    query = select(
        func.count(),
        func.count().filter(deliveries.c.attempt_count > 0),
        func.min(deliveries.c.create_time),
    ).where(_IS_PENDING, begin)
    if tenant is not None:
        query = query.where(deliveries.c.tenant == tenant)
    rest = None if last is None else Mark(*last)
    if rest is not None:
        query = query.where(tuple_(*_KEY) <= _tuple_of(rest))
    count, retrying, oldest = connection.execute(query).one()
    return Pending(count, retrying, oldest, rest)


def count_newest(connection: Connection, *, tenant: TenantId | None) -> DeliveryCounts:
    """Count what is final, and the attempts, among the newest deliveries of all tenants."""
    newest = (
        select(deliveries.c.state, deliveries.c.attempt_count, deliveries.c.tenant)
        .order_by(deliveries.c.seq.desc())
        .limit(pages.MOST_COUNTED)
        .subquery()
    )
    query = select(newest.c.state, func.count(), func.sum(newest.c.attempt_count))
    if tenant is not None:
        query = query.where(newest.c.tenant == tenant)
    rows: dict[int, Any] = {row[0]: row for row in connection.execute(query.group_by(newest.c[0]))}
    counted = {state: rows[state][1] if state in rows else 0 for state in DeliveryState}
    return DeliveryCounts(
        succeeded=counted[DeliveryState.SUCCEEDED],
        failed=counted[DeliveryState.FAILED],
        cancelled=counted[DeliveryState.CANCELLED],
        expired=counted[DeliveryState.EXPIRED],
        attempts=sum(row[2] for row in rows.values()),
    )


def _tuple_of(mark: Mark) -> Any:  # noqa: ANN401 - SQLAlchemy's own type is internal
    return tuple_(*map(literal, mark))
