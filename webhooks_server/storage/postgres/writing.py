"""The transactions of the two loops: a group of appends, or a group of records.

Never both in one: what is wrong with the one must not undo the other (engine.md, EA3).
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.postgres.numbers import State, database_now, read_state
from webhooks_server.storage.sql.accept import Prepared, accept
from webhooks_server.storage.sql.backlog import MAX_DELIVERIES
from webhooks_server.storage.sql.changes import keep_control, read_changes
from webhooks_server.storage.sql.group import Group, Refusal, Written
from webhooks_server.storage.sql.prepare import Matching, numbered
from webhooks_server.storage.sql.record import record


def write_appends(
    connection: Connection, group: Group, matching: Matching, uids: Callable[[int], Sequence[bytes]]
) -> Written | Refusal:
    """Write the appends of a group in one transaction, or roll it back whole.

    Their targets are those of the control version of the moment. Where others have moved it, the
    index follows within the transaction and keeps it still meanwhile: so that a stream of changes
    delays appends, and never stops them.
    """
    with connection.begin() as transaction:
        matched = [matching.of(append) for append in group.appends]
        state = _drawn(connection, matched)
        # Not the index's own: the engine may have moved it since these were matched.
        if any(one.version != state.version for one in matched):
            _follow(connection, matching.index)
            matched = [matching.of(append) for append in group.appends]
            if _is_too_large(matched):
                transaction.rollback()
                return Refusal.STALE
            state = _drawn(connection, matched)
        prepared = [
            numbered(append, one, state.now, uids, state.numbers)
            for append, one in zip(group.appends, matched, strict=True)
        ]
        for append, one in zip(group.appends, prepared, strict=True):
            append.attempted.append(one)
        if not accept(connection, prepared):
            transaction.rollback()
            return Refusal.CLASH
    return Written(accepted=prepared, recorded=())


def write_records(connection: Connection, group: Group) -> Written | Refusal:
    """Write the records of a group in one transaction, or roll it back whole."""
    with connection.begin() as transaction:
        recorded = record(connection, group.batches, database_now(connection))
        if recorded is None:
            transaction.rollback()
            return Refusal.CLASH
    return Written(accepted=(), recorded=recorded)


def _drawn(connection: Connection, matched: Sequence[Prepared]) -> State:
    return read_state(
        connection,
        sum(len(one.targets) for one in matched),
        sum(one.delivery_count for one in matched),
    )


def _follow(connection: Connection, index: MatchIndex) -> None:
    keep_control(connection)
    known = None
    while known is None or not known.complete:
        known = read_changes(connection, index.version)
        index.apply(known)


def _is_too_large(matched: Sequence[Prepared]) -> bool:
    return len(matched) > 1 and sum(one.delivery_count for one in matched) > MAX_DELIVERIES
