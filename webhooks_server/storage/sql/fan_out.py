"""The transaction script of a fan-out's next chunk (engine.md, EA6)."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, select, update

from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Reason, Trigger
from webhooks_server.domain.ids import DeliverySeq, EventSeq
from webhooks_server.domain.lanes import FanOutStep
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.accept import unpack_numbers
from webhooks_server.storage.sql.dialects import (
    Insertion,
    Target,
    dialect_of,
)
from webhooks_server.storage.sql.rows.deliveries import DELIVERY_COLUMNS
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import fanouts
from webhooks_server.storage.targets import FAN_OUT_CHUNK

_INTO_DELIVERIES = Insertion("deliveries", (*DELIVERY_COLUMNS, "state", "reason", "complete_time"))
_FINISHED = FanOutStep(deliveries=(), done=True)


def next_chunk(
    connection: Connection,
    event: EventSeq,
    now: Instant,
    uids: Callable[[int], Sequence[bytes]],
    seqs: Sequence[int],
) -> FanOutStep:
    """Insert the next deliveries of a fan-out, with the first of these seqs; move or end it."""
    dialect = dialect_of(connection)
    fan_out = connection.execute(
        select(fanouts).where(fanouts.c.event_seq == event).with_for_update()
    ).one_or_none()
    if fan_out is None:
        return _FINISHED
    targets = unpack_numbers(fan_out.numbers)
    end = fan_out.position + FAN_OUT_CHUNK
    chunk = targets[fan_out.position : end]
    rows: list[Row] = []
    live: list[NewDelivery] = []
    trigger = Trigger(fan_out.trigger)
    # There are seqs to spare where the last chunk is short.
    numbered = zip(dialect.read_targets(connection, chunk), uids(len(chunk)), seqs, strict=False)
    for target, uid, seq in numbered:
        delivery = NewDelivery(
            seq=DeliverySeq(seq),
            uid=uid,
            subscription=target.number,
            event_seq=event,
            trigger=trigger,
        )
        rows.append(_row(delivery, fan_out.tenant, target, now))
        if not target.deleted:
            live.append(delivery)
    dialect.write_rows(connection, _INTO_DELIVERIES, rows)
    mine = fanouts.c.event_seq == event
    done = end >= len(targets)
    connection.execute(
        delete(fanouts).where(mine) if done else update(fanouts).where(mine).values(position=end)
    )
    return FanOutStep(deliveries=live, done=done)


def _row(delivery: NewDelivery, tenant: str, target: Target, now: Instant) -> Row:
    # Who was deleted meanwhile was counted, and so gets a row (I2); nothing is sent for it.
    deleted = target.deleted
    return (
        delivery.seq,
        delivery.uid,
        tenant,
        target.partition,
        target.number,
        delivery.event_seq,
        delivery.trigger,
        now,
        now,
        DeliveryState.CANCELLED if deleted else DeliveryState.PENDING,
        Reason.DELETED if deleted else "",
        now if deleted else None,
    )
