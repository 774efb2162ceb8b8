"""What becomes of a delivery's row: pure decisions that every store shares."""

from collections.abc import Sequence
from dataclasses import replace

from webhooks_server.domain.delivery import (
    DeliveryState,
    NewDelivery,
    Reason,
    Record,
    Recorded,
    Uncharged,
)
from webhooks_server.domain.failures import Failures
from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.lanes import FROM_THE_FIRST
from webhooks_server.domain.times import SECOND, Instant, Micros
from webhooks_server.domain.values import value

DUE_FIRST = FROM_THE_FIRST
"""The due time of a row that a manual retry puts before all others of its lane."""
LONGEST_COMMIT = 10 * SECOND
"""Longer than a commit takes by the time-outs of a database (engine.md, EA4)."""


@value
class DeliveryRow:
    """The part of a delivery that changes after it was accepted.

    `uncharged` is None where it was not read, and need not be written.
    """

    seq: DeliverySeq
    uid: bytes
    state: DeliveryState
    due_time: Instant
    reason: str = ""
    attempt_count: int = 0
    charged_count: int = 0
    retry_requests: int = 0
    final_before: bool = False
    retry_time: Instant | None = None
    complete_time: Instant | None = None
    uncharged: Uncharged | None = None

    @property
    def next_attempt_time(self) -> Instant | None:
        """When it will be tried next: for a manual retry, the moment that was asked for."""
        if self.state is not DeliveryState.PENDING:
            return None
        return self.retry_time if self.due_time == DUE_FIRST else self.due_time


def record_attempt(
    row: DeliveryRow, record: Record, *, fenced: bool, now: Instant
) -> tuple[DeliveryRow, Recorded]:
    """Apply a record to its row: late where the fence is gone or the row is final (EA1)."""
    number = row.attempt_count + 1
    if not fenced or row.state is not DeliveryState.PENDING:
        return replace(row, attempt_count=number), _late(row, record, number)
    retried = row.retry_requests != record.retry_requests
    # Who asked for a retry while this attempt was out gets one more, also after the last (EB6).
    again = retried and record.state is DeliveryState.FAILED
    state = DeliveryState.PENDING if again else record.state
    pending = state is DeliveryState.PENDING
    due = DUE_FIRST if retried else Instant(now + record.due_in)
    changed = DeliveryRow(
        seq=row.seq,
        uid=row.uid,
        state=state,
        due_time=due if pending else row.due_time,
        reason="" if pending else record.state_reason,
        attempt_count=number,
        charged_count=row.charged_count + record.charged,
        retry_requests=row.retry_requests,
        final_before=row.final_before or again,
        retry_time=row.retry_time,
        complete_time=None if pending else now,
        uncharged=record.uncharged or row.uncharged,
    )
    due_in = 0 if retried or not pending else record.due_in
    answer = Recorded(
        token=record.token, state=state, attempt_number=number, late=False, due_in=due_in
    )
    return changed, answer


@value
class FailureRow:
    """Since when the attempts of a subscription only fail, and how many deliveries they gave up."""

    since: Instant
    exhausted_count: int


def count_failure(
    row: FailureRow | None, record: Record, recorded: Recorded, now: Instant
) -> FailureRow | None:
    """Return what a record makes of the failures of its subscription; None where there are none."""
    if recorded.late or record.failing is None:
        return row
    if not record.failing:
        return None
    exhausted = recorded.state is not DeliveryState.PENDING
    if row is None:
        return FailureRow(since=now, exhausted_count=int(exhausted))
    return replace(row, exhausted_count=row.exhausted_count + 1) if exhausted else row


def with_failures(
    recorded: Recorded, record: Record, row: FailureRow | None, now: Instant
) -> Recorded:
    """Return the answer to a record with the failures that it is one of."""
    if row is None or recorded.late or not record.failing:
        return recorded
    failures = Failures(lasting=Micros(now - row.since), exhausted_count=row.exhausted_count)
    return replace(recorded, failures=failures)


def retry_by_hand(row: DeliveryRow, now: Instant) -> DeliveryRow:
    """Make a row due before all others of its lane; a final one for one attempt (EB6)."""
    due = replace(row, due_time=DUE_FIRST, retry_requests=row.retry_requests + 1, retry_time=now)
    if row.state is DeliveryState.PENDING:
        return due
    return replace(
        due, state=DeliveryState.PENDING, reason="", final_before=True, complete_time=None
    )


def cancel_by_hand(row: DeliveryRow, now: Instant) -> DeliveryRow:
    """Make a pending row final; one that is final stays as it is."""
    if row.state is not DeliveryState.PENDING:
        return row
    return finish(row, DeliveryState.CANCELLED, Reason.CANCELLED, now)


def finish(row: DeliveryRow, state: DeliveryState, reason: str, now: Instant) -> DeliveryRow:
    """Make a row final without an attempt."""
    return replace(row, state=state, reason=reason, complete_time=now)


def due_in(row: DeliveryRow, now: Instant) -> int:
    """Return what is left until a row is due, in microseconds."""
    return row.due_time - now


def low_water_of(rows: Sequence[NewDelivery], now: Instant) -> Instant:
    """Return the due time below which a lane has no rows, of which these are the first."""
    due = now + min(0, rows[0].due_in) if rows else now
    return Instant(max(FROM_THE_FIRST, due - LONGEST_COMMIT))


def recorded_before(
    record: Record, row: DeliveryRow, number: int, *, late: bool, now: Instant
) -> Recorded:
    """Answer a record whose token is known: the delivery as it stands, and what its attempt was."""
    left = due_in(row, now) if row.state is DeliveryState.PENDING else 0
    return Recorded(
        token=record.token, state=row.state, attempt_number=number, late=late, due_in=left
    )


def recorded_nowhere(record: Record) -> Recorded:
    """Answer a record whose uid no delivery has: it is nobody's attempt, and not stored (EA10)."""
    return Recorded(token=record.token, state=DeliveryState.CANCELLED, attempt_number=0, late=True)


def _late(row: DeliveryRow, record: Record, number: int) -> Recorded:
    return Recorded(token=record.token, state=row.state, attempt_number=number, late=True)
