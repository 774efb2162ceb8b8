"""The control version, and what changed since one (engine.md, EA9)."""

from sqlalchemy import Connection, select, update

from webhooks_server.domain.ids import Version
from webhooks_server.domain.subscription import Changes
from webhooks_server.storage.sql.dialects import dialect_of
from webhooks_server.storage.sql.rows.subscriptions import (
    PAUSE_COLUMNS,
    entry_of,
    pause_of,
)
from webhooks_server.storage.sql.schema import control

CHANGES_AT_ONCE = 500


def hold_control(connection: Connection) -> None:
    """Be the only one that changes control data until the transaction ends."""
    connection.execute(select(control.c.version).with_for_update())


def keep_control(connection: Connection) -> None:
    """Let nobody change control data until the transaction ends."""
    connection.execute(select(control.c.version).with_for_update(read=True))


def next_version(connection: Connection) -> Version:
    """Take the next control version, by which a change is stamped."""
    query = update(control).values(version=control.c.version + 1).returning(control.c.version)
    return Version(connection.execute(query).scalar_one())


def read_changes(connection: Connection, since: Version) -> Changes:
    """Return the changes after a version, at most 500, and all pauses.

    The version is read first, so that no change is ever marked as seen and was not.
    """
    version = Version(connection.execute(select(control.c.version)).scalar_one())
    found = dialect_of(connection).read_entries(connection, since, CHANGES_AT_ONCE + 1)
    entries = tuple(entry_of(row) for row in found[:CHANGES_AT_ONCE])
    complete = len(found) <= CHANGES_AT_ONCE
    pauses = connection.execute(select(*PAUSE_COLUMNS)).all()
    return Changes(
        version=version if complete else entries[-1].version,
        entries=entries,
        pauses=tuple(pause_of(row) for row in pauses),
        complete=complete,
    )
