"""The subscriptions that only fail, as rows of their own; whoever works has none."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete

from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import Insertion, Replacement, dialect_of
from webhooks_server.storage.sql.schema import failures
from webhooks_server.storage.transitions import FailureRow, count_failure, with_failures

Failing = Mapping[SubscriptionNumber, FailureRow]

_COLUMNS = ("subscription", "since", "exhausted_count")
_INTO_FAILURES = Insertion("failures", _COLUMNS, conflict="subscription")
_TO_FAILURES = Replacement("failures", _COLUMNS)


class FailureCount:
    """Counts the failures of the subscriptions that some records are about.

    Nobody else changes them until the transaction ends.
    """

    def __init__(self, connection: Connection, records: Iterable[Record]) -> None:
        self._before = _read(connection, {one.subscription for one in records if _tells(one)})
        self._after: dict[SubscriptionNumber, FailureRow | None] = {**self._before}

    def add(self, one: Record, recorded: Recorded, now: Instant) -> Recorded:
        """Count what a record tells, and return the answer to it with that."""
        if not _tells(one):
            return recorded
        row = count_failure(self._after.get(one.subscription), one, recorded, now)
        self._after[one.subscription] = row
        return with_failures(recorded, one, row, now)

    def write(self, connection: Connection) -> None:
        """Write what has changed, which for most attempts is nothing."""
        before, write_rows = self._before, dialect_of(connection).write_rows
        changed = [
            (number, row.since, row.exhausted_count)
            for number, row in self._after.items()
            if row is not None and row != before.get(number)
        ]
        write_rows(connection, _INTO_FAILURES, [row for row in changed if row[0] not in before])
        write_rows(connection, _TO_FAILURES, [row for row in changed if row[0] in before])
        forget_failures(connection, [one for one in before if self._after.get(one) is None])


def forget_failures(connection: Connection, numbers: list[SubscriptionNumber]) -> None:
    """Let subscriptions begin anew."""
    if numbers:
        connection.execute(delete(failures).where(failures.c.subscription.in_(numbers)))


def _tells(one: Record) -> bool:
    return one.failing is not None


def _read(connection: Connection, numbers: Iterable[SubscriptionNumber]) -> Failing:
    wanted = sorted(numbers)
    if not wanted:
        return {}
    return {
        SubscriptionNumber(number): FailureRow(since=Instant(since), exhausted_count=count)
        for number, since, count in dialect_of(connection).read_failures(connection, wanted)
    }
