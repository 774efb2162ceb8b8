"""Deliveries as rows, and rows as deliveries."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, select

from webhooks_server.domain.delivery import (
    Delivery,
    DeliveryState,
    NewDelivery,
    Trigger,
    Uncharged,
)
from webhooks_server.domain.ids import (
    DeliverySeq,
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
)
from webhooks_server.domain.subscription import State, held_reason
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.retention import is_kept
from webhooks_server.storage.sql.rows.attempts import (
    ATTEMPT_COLUMNS,
    BASIC_ATTEMPT,
    WHOLE_ATTEMPT,
    attempt_of,
)
from webhooks_server.storage.sql.rows.values import Columns
from webhooks_server.storage.sql.schema import attempts, deliveries, events, subscriptions
from webhooks_server.storage.transitions import DeliveryRow

DELIVERY_COLUMNS = (
    "seq",
    "uid",
    "tenant",
    "partition",
    "subscription",
    "event_seq",
    "trigger",
    "due_time",
    "create_time",
)
ROW_COLUMNS = (
    "seq",
    "uid",
    "state",
    "due_time",
    "reason",
    "attempt_count",
    "charged_count",
    "retry_requests",
    "final_before",
    "retry_time",
    "complete_time",
)
UNCHARGED_COLUMNS = ("abandoned_count", "own_count", "internal_count", "doubtful_count")

_ATTEMPT = "attempt_"
CHANGING = tuple(deliveries.c[name] for name in ROW_COLUMNS)


def select_deliveries(*, full: bool) -> Select[Any]:
    """Return the query of deliveries as callers see them, each with its last attempt."""
    last_attempt = WHOLE_ATTEMPT if full else BASIC_ATTEMPT
    return (
        select(
            *CHANGING,
            deliveries.c.tenant,
            deliveries.c.trigger,
            deliveries.c.create_time,
            subscriptions.c.id.label("subscription_id"),
            subscriptions.c.state.label("subscription_state"),
            subscriptions.c.deleted.label("subscription_deleted"),
            events.c.id.label("event_id"),
            events.c.event_type,
            *(column.label(_ATTEMPT + column.name) for column in last_attempt),
        )
        .join_from(deliveries, subscriptions, subscriptions.c.number == deliveries.c.subscription)
        .join(events, events.c.seq == deliveries.c.event_seq)
        .where(is_kept(deliveries.c.event_seq))
        .outerjoin(
            attempts,
            and_(
                attempts.c.delivery_seq == deliveries.c.seq,
                attempts.c.number == deliveries.c.attempt_count,
            ),
        )
    )


def delivery_of(row: Columns) -> Delivery:
    """Return a delivery as callers see it, from a row of select_deliveries()."""
    changing = delivery_row_of([row[name] for name in ROW_COLUMNS])
    last = {name: row[_ATTEMPT + name] for name in ATTEMPT_COLUMNS if _ATTEMPT + name in row}
    return Delivery(
        seq=changing.seq,
        uid=changing.uid,
        tenant=TenantId(row["tenant"]),
        subscription=SubscriptionId(row["subscription_id"]),
        event=EventId(row["event_id"]),
        event_type=row["event_type"],
        state=changing.state,
        trigger=Trigger(row["trigger"]),
        attempt_count=changing.attempt_count,
        create_time=Instant(row["create_time"]),
        state_reason=_held_reason(row)
        if changing.state is DeliveryState.PENDING
        else changing.reason,
        next_attempt_time=changing.next_attempt_time,
        complete_time=changing.complete_time,
        last_attempt=None if last["number"] is None else attempt_of(last),
    )


def _held_reason(row: Columns) -> str:
    state = State(row["subscription_state"])
    return held_reason(state, deleted=bool(row["subscription_deleted"]))


def answer_of(row: Columns) -> dict[str, object]:
    """Return a row of select_deliveries() as it can be remembered in JSON."""
    return {str(name): value for name, value in row.items()} | {"uid": row["uid"].hex()}


def delivery_of_answer(answer: Columns) -> Delivery:
    """Return the delivery of what answer_of() made."""
    return delivery_of({**answer, "uid": bytes.fromhex(answer["uid"])})


def delivery_row_of(row: Sequence[Any]) -> DeliveryRow:
    """Return the changing part of a delivery from a row of ROW_COLUMNS."""
    return DeliveryRow(
        seq=DeliverySeq(row[0]),
        uid=row[1],
        state=DeliveryState(row[2]),
        due_time=Instant(row[3]),
        reason=row[4],
        attempt_count=row[5],
        charged_count=row[6],
        retry_requests=row[7],
        final_before=bool(row[8]),
        retry_time=row[9],
        complete_time=row[10],
    )


def delivery_row_values(row: DeliveryRow) -> dict[str, str | int | None]:
    """Return what a manual command may change of a delivery, by column."""
    return {
        "state": row.state,
        "due_time": row.due_time,
        "reason": row.reason,
        "retry_requests": row.retry_requests,
        "final_before": row.final_before,
        "retry_time": row.retry_time,
        "complete_time": row.complete_time,
    }


def new_delivery_of(row: Sequence[Any], subscription: SubscriptionNumber) -> NewDelivery:
    """Return a pending delivery as the engine knows it, from what read_lanes() read."""
    return NewDelivery(
        seq=DeliverySeq(row[0]),
        uid=bytes.fromhex(row[1]),
        subscription=subscription,
        event_seq=EventSeq(row[2]),
        due_in=row[3],
        age=row[4],
        attempt_count=row[5],
        charged_count=row[6],
        retry_requests=row[7],
        trigger=Trigger(row[8]),
        final_before=bool(row[9]),
        uncharged=Uncharged(*row[10:14]),
    )
