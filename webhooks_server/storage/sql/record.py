"""The transaction script of a record: attempts numbered by their deliveries' rows (EA1)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from webhooks_server.domain.delivery import (
    Attempt,
    DeliveryState,
    Outcome,
    Reason,
    Record,
    Recorded,
)
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import (
    Insertion,
    Replacement,
    dialect_of,
)
from webhooks_server.storage.sql.failing import read_failures, write_failures
from webhooks_server.storage.sql.rows.attempts import ATTEMPT_COLUMNS, attempt_row
from webhooks_server.storage.sql.rows.deliveries import CHANGING, UNCHARGED_COLUMNS, delivery_row_of
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import attempts, deliveries
from webhooks_server.storage.transitions import (
    DeliveryRow,
    FailureRow,
    count_failure,
    record_attempt,
    recorded_before,
    recorded_nowhere,
    with_failures,
)

_INTO_ATTEMPTS = Insertion("attempts", ATTEMPT_COLUMNS, conflict="token")
_TO_DELIVERIES = Replacement(
    "deliveries",
    (
        "seq",
        "state",
        "due_time",
        "reason",
        "attempt_count",
        "charged_count",
        "final_before",
        "complete_time",
    ),
)
_TO_UNCHARGED = Replacement("deliveries", ("seq", *UNCHARGED_COLUMNS))
Known = Mapping[bytes, tuple[int, bool]]
"""Attempts that are stored already, by token: their number, and whether they are late."""


@dataclass(slots=True, kw_only=True, eq=False)
class RecordBatch:
    """Records that wait, the engine that makes those that name none, and who asks."""

    engine: str
    records: Sequence[Record]
    future: asyncio.Future[Sequence[Recorded]]
    known: Known = field(default_factory=dict)
    is_last_try: bool = False

    def answer(self, recorded: Sequence[Recorded]) -> None:
        """Answer in the order of the records."""
        if not self.future.done():
            self.future.set_result(recorded)

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if not self.future.done():
            self.future.set_exception(error)

    def parts(self) -> Sequence["RecordBatch"]:
        """Split it in halves; one record alone is replaced by what can be recorded of it."""
        records, half = self.records, len(self.records) // 2
        if half == 0:
            return (self._part([quarantined(one) for one in records], is_last_try=True),)
        return (self._part(records[:half]), self._part(records[half:]))

    def join(self, parts: Sequence["RecordBatch"]) -> None:
        """Answer with the answers to its parts."""
        failures = [error for part in parts if (error := part.future.exception())]
        if failures:
            self.fail(failures[0])
        else:
            self.answer([recorded for part in parts for recorded in part.future.result()])

    def _part(self, records: Sequence[Record], *, is_last_try: bool = False) -> "RecordBatch":
        return RecordBatch(
            engine=self.engine,
            records=records,
            future=self.future.get_loop().create_future(),
            known=self.known,
            is_last_try=is_last_try,
        )


def record(
    connection: Connection, batches: Sequence[RecordBatch], now: Instant
) -> list[list[Recorded]] | None:
    """Store batches; None, and then nothing may be committed, where a token is known already.

    Run inside the transaction that holds the write lock: what is read here cannot change before it
    is written.
    """
    recording = _Recording(connection, batches)
    answers = [
        [recording.add(one, one.engine or batch.engine, now) for one in batch.records]
        for batch in batches
    ]
    return answers if recording.write(connection) else None


class _Recording:
    """Records applied one after the other to the rows they name."""

    def __init__(self, connection: Connection, batches: Sequence[RecordBatch]) -> None:
        records = [one for batch in batches for one in batch.records]
        found, fences = dialect_of(connection).read_rows_and_fences(
            connection,
            {one.seq for one in records},
            {one.partition for one in records},
        )
        self._fences = fences
        self._rows = {row.uid: row for row in map(delivery_row_of, found)}
        self._changed: dict[bytes, DeliveryRow] = {}
        self._attempts: list[Row] = []
        self._known = {token: known for batch in batches for token, known in batch.known.items()}
        telling = {one.subscription for one in records if one.failing is not None}
        self._failures_before = read_failures(connection, telling)
        self._failures: dict[SubscriptionNumber, FailureRow | None] = {**self._failures_before}
        # A uid that is not at its seq: numbers were used again after a failover (EA10).
        strays = [one.uid for one in records if one.uid not in self._rows]
        if strays:
            query = select(*CHANGING).where(deliveries.c.uid.in_(strays))
            self._rows |= {row.uid: delivery_row_of(row) for row in connection.execute(query)}

    def add(self, one: Record, engine: str, now: Instant) -> Recorded:
        """Apply a record; a further one of the same delivery comes after it."""
        row = self._changed.get(one.uid) or self._rows.get(one.uid)
        if row is None:
            return recorded_nowhere(one)
        if one.token in self._known:
            number, late = self._known[one.token]
            return recorded_before(one, row, number, late=late, now=now)
        fenced = row.seq == one.seq and self._fences.get(one.partition) == (engine, one.epoch)
        self._changed[one.uid], recorded = record_attempt(row, one, fenced=fenced, now=now)
        self._attempts.append(attempt_row(row.seq, one, recorded))
        self._known[one.token] = (recorded.attempt_number, recorded.late)
        failures = count_failure(self._failures.get(one.subscription), one, recorded, now)
        self._failures[one.subscription] = failures
        return with_failures(recorded, one, failures, now)

    def write(self, connection: Connection) -> bool:
        """Write what was added; False where a token is stored already."""
        write_rows = dialect_of(connection).write_rows
        if write_rows(connection, _INTO_ATTEMPTS, self._attempts) < len(self._attempts):
            return False
        changed = self._changed.values()
        write_rows(connection, _TO_DELIVERIES, [_changes(row) for row in changed])
        # Nearly none: most attempts are charged, or succeed.
        uncharged = [(row.seq, *row.uncharged) for row in changed if row.uncharged is not None]
        write_rows(connection, _TO_UNCHARGED, uncharged)
        write_failures(connection, self._failures_before, self._failures)
        return True


def known_attempts(connection: Connection, records: Iterable[Record]) -> Known:
    """Return which of these records are stored already."""
    tokens = [one.token for one in records]
    found = connection.execute(
        select(attempts.c.token, attempts.c.number, attempts.c.late).where(
            attempts.c.token.in_(tokens)
        )
    )
    return {token: (number, bool(late)) for token, number, late in found}


def quarantined(one: Record) -> Record:
    """Return what is recorded in the place of a record that no database takes."""
    attempt = Attempt(
        number=0,
        outcome=Outcome.INTERNAL,
        start_time=one.attempt.start_time,
        latency=one.attempt.latency,
        url="",
        error_message="what came of this attempt could not be recorded",
    )
    return replace(
        one,
        attempt=attempt,
        state=DeliveryState.FAILED,
        state_reason=Reason.QUARANTINED,
        charged=False,
        failing=None,
    )


def _changes(row: DeliveryRow) -> Row:
    return (
        row.seq,
        row.state,
        row.due_time,
        row.reason,
        row.attempt_count,
        row.charged_count,
        row.final_before,
        row.complete_time,
    )
