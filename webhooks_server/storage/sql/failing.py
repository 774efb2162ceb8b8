"""The subscriptions that only fail, as rows of their own; whoever works has none."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete

from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import Insertion, Replacement, dialect_of
from webhooks_server.storage.sql.schema import failures
from webhooks_server.storage.transitions import FailureRow

Failing = Mapping[SubscriptionNumber, FailureRow]

_COLUMNS = ("subscription", "since", "exhausted_count")
_INTO_FAILURES = Insertion("failures", _COLUMNS, conflict="subscription")
_TO_FAILURES = Replacement("failures", _COLUMNS)


def read_failures(connection: Connection, numbers: Iterable[SubscriptionNumber]) -> Failing:
    """Read which of some subscriptions fail; no one changes that until the transaction ends."""
    wanted = sorted(numbers)
    if not wanted:
        return {}
    return {
        SubscriptionNumber(number): FailureRow(since=Instant(since), exhausted_count=count)
        for number, since, count in dialect_of(connection).read_failures(connection, wanted)
    }


def write_failures(
    connection: Connection,
    before: Failing,
    after: Mapping[SubscriptionNumber, FailureRow | None],
) -> None:
    """Write what has changed, which for most attempts is nothing."""
    write_rows = dialect_of(connection).write_rows
    changed = [
        (number, row.since, row.exhausted_count)
        for number, row in after.items()
        if row is not None and row != before.get(number)
    ]
    write_rows(connection, _INTO_FAILURES, [row for row in changed if row[0] not in before])
    write_rows(connection, _TO_FAILURES, [row for row in changed if row[0] in before])
    forget_failures(connection, [number for number in before if after.get(number) is None])


def forget_failures(connection: Connection, numbers: list[SubscriptionNumber]) -> None:
    """Let subscriptions begin anew."""
    if numbers:
        connection.execute(delete(failures).where(failures.c.subscription.in_(numbers)))
