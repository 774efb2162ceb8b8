"""Records of deliveries that are as they were when they were taken: written without being read.

The statement that writes a row finds it only where nothing has come in between: no other attempt,
nor a command by hand. So the number that an attempt gets beforehand is the one that the row would
have given it (EA1).
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from webhooks_server.domain.delivery import DeliveryState, Record, Recorded
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import Change, Insertion, dialect_of
from webhooks_server.storage.sql.failing import FailureCount
from webhooks_server.storage.sql.rows.attempts import ATTEMPT_COLUMNS, attempt_row
from webhooks_server.storage.sql.rows.values import Row

Given = tuple[Record, str]
"""A record, and the engine that makes it."""
Fences = Mapping[int, tuple[str, int]]
"""The owners of partitions, and since which epoch they are."""

INTO_ATTEMPTS = Insertion("attempts", ATTEMPT_COLUMNS, conflict="token")
# The plus keeps SQLite from looking for the row in the index of what is pending.
_TO_TAKEN = Change(
    table="deliveries",
    columns=(
        "seq",
        "uid",
        "attempt_count",
        "retry_requests",
        "state",
        "due_time",
        "reason",
        "charged_count",
        "complete_time",
    ),
    changes=(
        "state = given.state, reason = given.reason, complete_time = given.complete_time,"
        " due_time = CASE given.state WHEN 1 THEN given.due_time ELSE deliveries.due_time END,"
        " attempt_count = given.attempt_count + 1,"
        " charged_count = deliveries.charged_count + given.charged_count"
    ),
    condition=(
        "deliveries.seq = given.seq AND deliveries.uid = given.uid AND +deliveries.state = 1"
        " AND deliveries.attempt_count = given.attempt_count"
        " AND deliveries.retry_requests = given.retry_requests"
    ),
)


def is_as_taken(given: Sequence[Given], fences: Fences) -> bool:
    """Tell whether records can be written without a look.

    That is where none is late, each has its own row, and none was charged to nobody, since what is
    counted of those is in columns of its own.
    """
    return len({one.seq for one, _ in given}) == len(given) and all(
        fences.get(one.partition) == (engine, one.epoch) and one.uncharged is None
        for one, engine in given
    )


def record_unread(
    connection: Connection, records: Sequence[Record], now: Instant
) -> list[Recorded] | None:
    """Store records; None, and then nothing may be committed, where one is not as it was taken."""
    write_rows = dialect_of(connection).write_rows
    # In the order of their keys, as all rows are locked.
    ordered = sorted(records, key=lambda one: one.seq)
    if write_rows(connection, _TO_TAKEN, [_change(one, now) for one in ordered]) < len(records):
        return None
    answers = [_recorded(one) for one in records]
    rows = [attempt_row(one.seq, one, made) for one, made in zip(records, answers, strict=True)]
    if write_rows(connection, INTO_ATTEMPTS, rows) < len(rows):
        return None
    failures = FailureCount(connection, records)
    counted = [failures.add(one, made, now) for one, made in zip(records, answers, strict=True)]
    failures.write(connection)
    return counted


def _change(one: Record, now: Instant) -> Row:
    pending = one.state is DeliveryState.PENDING
    return (
        one.seq,
        one.uid,
        one.attempt_count,
        one.retry_requests,
        one.state,
        now + one.due_in if pending else now,
        "" if pending else one.state_reason,
        int(one.charged),
        None if pending else now,
    )


def _recorded(one: Record) -> Recorded:
    return Recorded(
        token=one.token,
        state=one.state,
        attempt_number=one.attempt_count + 1,
        late=False,
        due_in=one.due_in if one.state is DeliveryState.PENDING else 0,
    )
