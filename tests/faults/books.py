"""What the database and the server say: rows, counts, and what is pending while a process dies."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.faults.ledger import Pair
from tests.harness.postgres_database import PostgresDatabase
from webhooks_server.storage.sql.config import DATABASE_NAME

PENDING = 1
SUCCEEDED = 2
_ROWS = """
SELECT events.id, subscriptions.id, deliveries.state, deliveries.attempt_count,
  (SELECT count(*) FROM attempts WHERE delivery_seq = deliveries.seq AND outcome = 1)
FROM deliveries JOIN events ON events.seq = event_seq
JOIN subscriptions ON number = deliveries.subscription
"""
_EVENTS = "SELECT id FROM events"
_PENDING = """
SELECT events.id, subscriptions.id, deliveries.attempt_count
FROM deliveries JOIN events ON events.seq = event_seq
JOIN subscriptions ON number = deliveries.subscription
WHERE deliveries.state = 1
"""
_OWNED = " AND deliveries.partition IN (SELECT id FROM partitions WHERE owner = $1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A delivery as the database has it."""

    pair: Pair
    state: int
    attempts: int
    successes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database has at the end of a run."""

    events: frozenset[str]
    rows: Sequence[Row]


class Database(Protocol):
    """A way into the database that is not the server's."""

    def books(self) -> Books:
        """Read everything."""
        ...

    def pending(self, engine: str) -> Mapping[Pair, int]:
        """Return what an engine still has to deliver, and how many attempts are on record."""
        ...


class Postgres:
    """A database that engines share."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._administrator = database.administrator

    def books(self) -> Books:
        rows = self._administrator.rows(_ROWS)
        return _books(self._administrator.rows(_EVENTS), rows)

    def pending(self, engine: str) -> Mapping[Pair, int]:
        return _attempts(self._administrator.rows(_PENDING + _OWNED, engine))

    def owned(self) -> dict[str, int]:
        """Return how many partitions each engine owns."""
        query = "SELECT owner, count(*) FROM partitions WHERE owner <> '' GROUP BY owner"
        return dict(self._administrator.rows(query))


class Sqlite:
    """The file of a server that is dead.

    What is read is a copy, so that the next server finds what the last one left, and mends it.
    """

    def __init__(self, data_directory: Path) -> None:
        self._directory = data_directory

    def books(self) -> Books:
        events, rows = self._read(_EVENTS, _ROWS)
        return _books(events, rows)

    def pending(self, engine: str) -> Mapping[Pair, int]:
        """Return what is to be delivered; there is one engine, whatever its name."""
        (rows,) = self._read(_PENDING)
        return _attempts(rows)

    def check_integrity(self) -> None:
        """Raise AssertionError where the file is damaged."""
        (answer,) = self._read("PRAGMA integrity_check")
        assert answer == [("ok",)], answer

    def _read(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        with tempfile.TemporaryDirectory() as name:
            # What lies beside them, SQLite makes anew.
            for file in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(self._directory / file, name)
            copied = Path(name) / DATABASE_NAME
            with contextlib.closing(sqlite3.connect(copied)) as connection:
                return [connection.execute(query).fetchall() for query in queries]


def _books(events: list[tuple[Any, ...]], rows: list[tuple[Any, ...]]) -> Books:
    return Books(
        events=frozenset(event for (event,) in events),
        rows=[
            Row(
                pair=Pair(event=event, subscription=subscription),
                state=state,
                attempts=attempts,
                successes=successes,
            )
            for event, subscription, state, attempts, successes in rows
        ],
    )


def _attempts(rows: list[tuple[Any, ...]]) -> dict[Pair, int]:
    return {
        Pair(event=event, subscription=subscription): attempts
        for event, subscription, attempts in rows
    }
