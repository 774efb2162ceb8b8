"""The transaction script of a record: attempts numbered by their deliveries' rows (EA1)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection, select

from webhooks_server.domain.delivery import (
    Attempt,
    DeliveryState,
    Outcome,
    Reason,
    Record,
    Recorded,
)
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import Replacement, dialect_of
from webhooks_server.storage.sql.failing import FailureCount
from webhooks_server.storage.sql.record_unread import (
    INTO_ATTEMPTS,
    Fences,
    Given,
    is_as_taken,
    record_unread,
)
from webhooks_server.storage.sql.rows.attempts import attempt_row
from webhooks_server.storage.sql.rows.deliveries import CHANGING, UNCHARGED_COLUMNS, delivery_row_of
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import attempts, deliveries
from webhooks_server.storage.transitions import (
    DeliveryRow,
    record_attempt,
    recorded_before,
    recorded_nowhere,
)

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
    """Records that wait, the engine that makes those that name none, and who asks.

    What is `known` of them is None until somebody had to look.
    """

    engine: str
    records: Sequence[Record]
    future: asyncio.Future[Sequence[Recorded]]
    known: Known | None = None
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
    """Store batches; None, and then nothing may be committed, where they must be looked up first.

    So it is where a token is stored already, or a delivery is not as it was when it was taken:
    nearly always it is, and then it is written without being read. Run inside the transaction that
    holds the write lock: what is read here cannot change before it is written.
    """
    given = [(one, one.engine or batch.engine) for batch in batches for one in batch.records]
    if not given:
        return [[] for _ in batches]
    fences = dialect_of(connection).read_fences(connection, {one.partition for one, _ in given})
    if all(batch.known is None for batch in batches) and is_as_taken(given, fences):
        answers = record_unread(connection, [one for one, _ in given], now)
    else:
        answers = _record_read(connection, batches, given, fences, now)
    if answers is None:
        return None
    remaining = iter(answers)
    return [list(islice(remaining, len(batch.records))) for batch in batches]


def _record_read(
    connection: Connection,
    batches: Sequence[RecordBatch],
    given: Sequence[Given],
    fences: Fences,
    now: Instant,
) -> list[Recorded] | None:
    known = {token: found for batch in batches for token, found in (batch.known or {}).items()}
    recording = _Recording(connection, [one for one, _ in given], known, fences)
    answers = [recording.add(one, engine, now) for one, engine in given]
    return answers if recording.write(connection) else None


class _Recording:
    """Records applied one after the other to the rows they name."""

    def __init__(
        self, connection: Connection, records: Sequence[Record], known: Known, fences: Fences
    ) -> None:
        found = dialect_of(connection).read_rows(connection, {one.seq for one in records})
        self._fences = fences
        self._rows = {row.uid: row for row in map(delivery_row_of, found)}
        self._changed: dict[bytes, DeliveryRow] = {}
        self._attempts: list[Row] = []
        self._known = dict(known)
        self._failures = FailureCount(connection, records)
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
        return self._failures.add(one, recorded, now)

    def write(self, connection: Connection) -> bool:
        """Write what was added; False where a token is stored already."""
        write_rows = dialect_of(connection).write_rows
        if write_rows(connection, INTO_ATTEMPTS, self._attempts) < len(self._attempts):
            return False
        changed = self._changed.values()
        write_rows(connection, _TO_DELIVERIES, [_changes(row) for row in changed])
        # Nearly none: most attempts are charged, or succeed.
        uncharged = [(row.seq, *row.uncharged) for row in changed if row.uncharged is not None]
        write_rows(connection, _TO_UNCHARGED, uncharged)
        self._failures.write(connection)
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
