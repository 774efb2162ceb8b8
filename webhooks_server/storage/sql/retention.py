"""Removing events whose time has passed, in small transactions (engine.md, EA13).

An event is marked first, and from then on gone for every reader and for whoever would make one of
its deliveries pending again. Its deliveries follow in chunks, each with its attempts, and the event
itself comes last: so that whatever moment a process dies in, nothing is left that nobody removes.
"""

from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
)

from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.errors import EventPurged
from webhooks_server.domain.ids import EventSeq
from webhooks_server.domain.times import Instant
from webhooks_server.domain.values import value
from webhooks_server.storage.sql.schema import attempts, deliveries, event_purges, events, fanouts

Item = TypeVar("Item")

EVENTS_AT_ONCE = 200
DELIVERIES_AT_ONCE = 1000
ATTEMPTS_AT_ONCE = 1000
BYTES_AT_ONCE = 4 * 1024 * 1024
# How many deliveries are looked at for it while events are marked.
LOOKED_AT = 10_000


@value
class Candidates:
    """Old events that may be marked, and where the search goes on, None at the end."""

    events: Sequence[int]
    next_after: EventSeq | None
    has_marked: bool


@value
class Removed:
    """What a transaction removed, and whether marked events are left."""

    events: int
    deliveries: int
    is_all: bool


def is_kept(event_seq: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that an event is not being removed."""
    return ~exists().where(event_purges.c.event_seq == event_seq)


def check_kept(connection: Connection, uid: bytes, name: str) -> None:
    """Keep the event of a delivery until the transaction ends; raises EventPurged."""
    event = select(deliveries.c.event_seq).where(deliveries.c.uid == uid).scalar_subquery()
    # The mark is looked for in a statement of its own, which sees what the lock has waited for.
    lock = select(events.c.seq).where(events.c.seq == event)
    seq = connection.execute(lock.with_for_update(read=True, key_share=True)).scalar()
    marked = select(event_purges.c.event_seq).where(event_purges.c.event_seq == seq)
    if connection.execute(marked).first():
        raise EventPurged(name)


def find_candidates(connection: Connection, before: Instant, after: EventSeq) -> Candidates:
    """Look at the next events after a seq for those that may have ended by a time."""
    page = connection.execute(
        select(events.c.seq, events.c.create_time, events.c.matched_count)
        .where(events.c.seq > after)
        .order_by(events.c.seq)
        .limit(EVENTS_AT_ONCE)
    ).all()
    looked_at = _first(page, LOOKED_AT, [row.matched_count for row in page])
    old = [row.seq for row in looked_at if row.create_time <= before]
    # Seqs go up with time, but for transactions that overlapped.
    is_last = len(page) < EVENTS_AT_ONCE or page[-1].create_time > before
    is_over = not looked_at or (is_last and len(looked_at) == len(page))
    marked = connection.execute(select(exists().select_from(event_purges))).scalar_one()
    return Candidates(
        events=_finished(connection, old, before),
        next_after=None if is_over else EventSeq(looked_at[-1].seq),
        has_marked=bool(marked),
    )


def mark(connection: Connection, chosen: Sequence[int], before: Instant) -> None:
    """Mark those of some events that are still finished, unless another process changes them."""
    locked = (
        select(events.c.seq)
        .where(events.c.seq.in_(chosen))
        .order_by(events.c.seq)
        .with_for_update(skip_locked=True)
    )
    held = connection.execute(locked).scalars().all()
    # A statement of its own: it sees what was committed before the locks were taken.
    finished = _finished(connection, held, before)
    if finished:
        connection.execute(insert(event_purges), [{"event_seq": seq} for seq in finished])


def remove_marked(connection: Connection) -> Removed:
    """Remove as much of what is marked as one transaction should."""
    marked = connection.execute(
        select(event_purges.c.event_seq, func.length(events.c.payload).label("size"))
        .join_from(event_purges, events, events.c.seq == event_purges.c.event_seq)
        .order_by(event_purges.c.event_seq)
        .limit(EVENTS_AT_ONCE)
        .with_for_update(of=event_purges, skip_locked=True)
    ).all()
    chosen = [row.event_seq for row in _first(marked, BYTES_AT_ONCE, [row.size for row in marked])]
    found = connection.execute(
        select(deliveries.c.seq, deliveries.c.event_seq, deliveries.c.attempt_count)
        .where(deliveries.c.event_seq.in_(chosen))
        .order_by(deliveries.c.event_seq)
        .limit(DELIVERIES_AT_ONCE + 1)
    ).all()
    counts = [row.attempt_count for row in found]
    removed = _first(found, ATTEMPTS_AT_ONCE, counts)[:DELIVERIES_AT_ONCE]
    rest = found[len(removed) :]
    whole = [seq for seq in chosen if not rest or seq < rest[0].event_seq]
    seqs = [row.seq for row in removed]
    # In this order: an attempt that is being recorded holds its delivery, and is then seen.
    connection.execute(delete(deliveries).where(deliveries.c.seq.in_(seqs)))
    connection.execute(delete(attempts).where(attempts.c.delivery_seq.in_(seqs)))
    connection.execute(delete(events).where(events.c.seq.in_(whole)))
    connection.execute(delete(event_purges).where(event_purges.c.event_seq.in_(whole)))
    is_all = len(marked) < EVENTS_AT_ONCE and len(whole) == len(marked)
    return Removed(events=len(whole), deliveries=len(removed), is_all=is_all)


def _finished(connection: Connection, seqs: Sequence[int], before: Instant) -> Sequence[int]:
    """Return which of some events have nothing pending or owed, and nothing final after a time."""
    if not seqs:
        return ()
    of_event = deliveries.c.event_seq == events.c.seq
    is_live = or_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.complete_time > before)
    query = select(events.c.seq).where(
        events.c.seq.in_(seqs),
        ~exists(select(literal(1)).where(of_event, is_live)),
        ~exists(select(literal(1)).where(fanouts.c.event_seq == events.c.seq)),
        is_kept(events.c.seq),
    )
    return connection.execute(query.order_by(events.c.seq)).scalars().all()


def _first(rows: Sequence[Item], most: int, weights: Sequence[int]) -> Sequence[Item]:
    """Return the first rows, at least one, that weigh no more than so much together."""
    fitting = takewhile(lambda weight: weight <= most, accumulate(weights))
    return rows[: max(1, sum(1 for _ in fitting))]
