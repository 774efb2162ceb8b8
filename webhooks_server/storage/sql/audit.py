"""The count of everything in one snapshot, and what contradicts I1 to I9 (engine.md, EC12)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Text, TextClause, bindparam, text

from webhooks_server.domain.audit import AuditReport
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.ids import TenantId, delivery_id
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import dialect_of

Arguments = dict[str, str | int | None]

MOST_VIOLATIONS = 20
NEVER = Instant(0)


def _query(query: str) -> TextClause:
    # PostgreSQL cannot tell of itself what kind of NULL is asked for.
    return text(query).bindparams(bindparam("tenant", type_=Text()))


# What is being removed is outside (EA13): of such an event a part of the rows is gone already.
_EVENTS = _query("""
    SELECT count(*) AS events, count(*) FILTER (WHERE matched_count = 0) AS unmatched
    FROM events WHERE (:tenant IS NULL OR tenant = :tenant)
      AND seq NOT IN (SELECT event_seq FROM event_purges)
""")
_DELIVERIES = _query("""
    SELECT state, count(*) FROM deliveries WHERE (:tenant IS NULL OR tenant = :tenant)
      AND event_seq NOT IN (SELECT event_seq FROM event_purges)
    GROUP BY state
""")
_ATTEMPTS = _query("""
    SELECT count(*) FROM attempts
    WHERE (:tenant IS NULL
           OR delivery_seq IN (SELECT seq FROM deliveries WHERE tenant = :tenant))
      AND delivery_seq NOT IN (
        SELECT seq FROM event_purges JOIN deliveries USING (event_seq))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """A query for rows that should not be, and the sentence that each of them makes."""

    sentence: str
    query: TextClause


# The first due delivery of each lane, unless another one of the lane was attempted or settled since
# (EC12): who has many waits long, and is not stuck. Nor is a lane whose breaker was open since; of
# one with a rate, at least one delivery a minute moves.
_STANDING = """
    SELECT (:now - due) / 1000000 AS seconds, (
      SELECT uid FROM deliveries AS first
      WHERE first.state = 1 AND first.partition = subscriptions.partition
        AND first.subscription = number
        AND CASE due_time WHEN 0 THEN retry_time ELSE due_time END = due LIMIT 1) AS uid
    FROM (
      SELECT subscription, min(CASE due_time WHEN 0 THEN retry_time ELSE due_time END) AS due
      FROM deliveries WHERE state = 1 AND (:tenant IS NULL OR tenant = :tenant)
      GROUP BY subscription) AS lane
    JOIN subscriptions ON number = subscription
    WHERE due < :since AND update_time < :since
      AND NOT EXISTS (
        SELECT 1 FROM deliveries AS moved WHERE moved.subscription = number
        AND (moved.complete_time >= :since
             OR moved.state = 1 AND moved.attempt_count > 0 AND moved.due_time >= :since))
      AND {condition}
    LIMIT :most
"""
_CHECKS = (
    _Check(
        sentence="delivery {delivery} has been due for {seconds} s, and nothing holds it back",
        query=_query(
            _STANDING.format(
                condition="deleted = 0 AND state = 1 AND breaker_time < :since"
                " AND NOT EXISTS (SELECT 1 FROM relay_pauses"
                " WHERE relay_pauses.tenant IN ('', subscriptions.tenant))"
            )
        ),
    ),
    _Check(
        sentence="delivery {delivery} is pending, but its subscription was deleted, and its lane"
        " stands still",
        query=_query(_STANDING.format(condition="deleted = 1")),
    ),
    _Check(
        sentence="event tenants/{tenant}/events/{id} matched {matched} subscriptions, but has"
        " {found} first deliveries, and its fan-out owes {owed}",
        query=_query("""
            SELECT tenant, id, matched_count AS matched, coalesce(found, 0) AS found,
              coalesce(owed, 0) AS owed
            FROM events
            LEFT JOIN (SELECT event_seq, count(*) AS found FROM deliveries
                       WHERE replay = 0 GROUP BY event_seq) AS first ON first.event_seq = seq
            LEFT JOIN (SELECT event_seq, length(numbers) / 4 - position AS owed
                       FROM fanouts) AS rest ON rest.event_seq = seq
            WHERE (:tenant IS NULL OR tenant = :tenant)
              AND matched_count <> coalesce(found, 0) + coalesce(owed, 0)
              AND seq NOT IN (SELECT event_seq FROM event_purges)
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} counts {counted} attempts, but has {found}, numbered up to"
        " {highest}",
        query=_query("""
            SELECT uid, attempt_count AS counted, coalesce(found, 0) AS found,
              coalesce(highest, 0) AS highest
            FROM deliveries
            LEFT JOIN (SELECT delivery_seq, count(*) AS found, max(number) AS highest
                       FROM attempts GROUP BY delivery_seq) AS made ON made.delivery_seq = seq
            WHERE (:tenant IS NULL OR tenant = :tenant)
              AND (attempt_count <> coalesce(found, 0) OR attempt_count <> coalesce(highest, 0))
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} is pending, but its event {event_seq} is being removed",
        query=_query("""
            SELECT uid, event_seq FROM event_purges JOIN deliveries USING (event_seq)
            WHERE (:tenant IS NULL OR tenant = :tenant) AND state = 1
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} has the unknown state {state}",
        query=_query("""
            SELECT uid, state FROM deliveries
            WHERE (:tenant IS NULL OR tenant = :tenant) AND state NOT BETWEEN 1 AND 5
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} is final without a complete_time",
        query=_query("""
            SELECT uid FROM deliveries
            WHERE (:tenant IS NULL OR tenant = :tenant) AND state <> 1 AND complete_time IS NULL
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} is pending, but has a complete_time",
        query=_query("""
            SELECT uid FROM deliveries
            WHERE (:tenant IS NULL OR tenant = :tenant) AND state = 1
              AND complete_time IS NOT NULL
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} is of the event {event_seq}, which does not exist",
        query=_query("""
            SELECT uid, event_seq FROM deliveries
            WHERE (:tenant IS NULL OR tenant = :tenant)
              AND event_seq NOT IN (SELECT seq FROM events)
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} is for the subscription {subscription}, which does not exist",
        query=_query("""
            SELECT uid, subscription FROM deliveries
            WHERE (:tenant IS NULL OR tenant = :tenant)
              AND subscription NOT IN (SELECT number FROM subscriptions)
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} lies in partition {found}, its subscription in {wanted}",
        query=_query("""
            SELECT deliveries.uid, deliveries.partition AS found, subscriptions.partition AS wanted
            FROM deliveries JOIN subscriptions ON number = subscription
            WHERE (:tenant IS NULL OR deliveries.tenant = :tenant)
              AND deliveries.partition <> subscriptions.partition
            LIMIT :most
        """),
    ),
    _Check(
        sentence="delivery {delivery} of tenant {tenant} joins an event of {event_tenant} and a"
        " subscription of {subscription_tenant}",
        query=_query("""
            SELECT deliveries.uid, deliveries.tenant, events.tenant AS event_tenant,
              subscriptions.tenant AS subscription_tenant
            FROM deliveries JOIN events ON events.seq = event_seq
            JOIN subscriptions ON number = subscription
            WHERE (:tenant IS NULL OR deliveries.tenant = :tenant)
              AND (events.tenant <> deliveries.tenant
                   OR subscriptions.tenant <> deliveries.tenant)
            LIMIT :most
        """),
    ),
    _Check(
        sentence="event {event_seq} has {found} deliveries to subscription {subscription} with"
        " replay {replay}",
        query=_query("""
            SELECT event_seq, subscription, replay, count(*) AS found FROM deliveries
            WHERE :tenant IS NULL OR tenant = :tenant
            GROUP BY event_seq, subscription, replay HAVING count(*) > 1
            LIMIT :most
        """),
    ),
    _Check(
        sentence="{found} attempts are of the delivery {delivery_seq}, which does not exist",
        query=_query("""
            SELECT delivery_seq, count(*) AS found FROM attempts
            WHERE :tenant IS NULL AND delivery_seq NOT IN (SELECT seq FROM deliveries)
            GROUP BY delivery_seq
            LIMIT :most
        """),
    ),
    _Check(
        sentence="the fan-out of event {event_seq} stands at {position} of {total}, or its event"
        " does not exist",
        query=_query("""
            SELECT event_seq, position, length(numbers) / 4 AS total FROM fanouts
            WHERE (:tenant IS NULL OR tenant = :tenant)
              AND (position >= length(numbers) / 4 OR event_seq NOT IN (SELECT seq FROM events))
            LIMIT :most
        """),
    ),
)


def count_everything(
    connection: Connection,
    tenant: TenantId | None,
    *,
    now: Instant = NEVER,
    since: Instant = NEVER,
) -> AuditReport:
    """Count all rows, or those of one tenant, and name what should not be.

    With stuck_since() also what is stuck; without, no server runs.
    """
    dialect_of(connection).begin_snapshot(connection)
    arguments: Arguments = {"tenant": tenant}
    events, unmatched = connection.execute(_EVENTS, arguments).one()
    states: dict[int, int] = dict(connection.execute(_DELIVERIES, arguments).all())
    attempts = connection.execute(_ATTEMPTS, arguments).scalar_one()
    checked = arguments | {"now": now, "since": since, "most": MOST_VIOLATIONS}
    violations = tuple(_violations(connection, checked))
    return AuditReport(
        events=events,
        unmatched_events=unmatched,
        deliveries=sum(states.values()),
        pending=states.get(DeliveryState.PENDING, 0),
        succeeded=states.get(DeliveryState.SUCCEEDED, 0),
        failed=states.get(DeliveryState.FAILED, 0),
        cancelled=states.get(DeliveryState.CANCELLED, 0),
        expired=states.get(DeliveryState.EXPIRED, 0),
        attempts=attempts,
        violations=violations[:MOST_VIOLATIONS],
    )


def _violations(connection: Connection, arguments: Arguments) -> Iterator[str]:
    for check in _CHECKS:
        for row in connection.execute(check.query, arguments).mappings():
            yield check.sentence.format_map(_Named(row))


class _Named(dict[str, Any]):
    """A row whose `delivery` is the public id behind its uid."""

    def __init__(self, row: RowMapping) -> None:
        super().__init__((str(name), value) for name, value in row.items())
        if "uid" in self:
            self["delivery"] = delivery_id(self["uid"])
