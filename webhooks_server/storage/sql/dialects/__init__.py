"""Where the databases differ: statements for many rows at once. Nothing else does."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from webhooks_server.domain.ids import EventSeq, Version
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects import postgres, sqlite
from webhooks_server.storage.sql.dialects.sqlite import Numbers, keep_state, read_state
from webhooks_server.storage.sql.dialects.statements import (
    Change,
    Insertion,
    Replacement,
    Statement,
    Target,
)
from webhooks_server.storage.sql.rows.values import Row

__all__ = [
    "Change",
    "Insertion",
    "Numbers",
    "Replacement",
    "Target",
    "dialect_of",
    "keep_state",
    "read_state",
]


class Dialect(Protocol):
    """The statements of one database."""

    def begin_snapshot(self, connection: Connection) -> None:
        """Let all that a reader reads from now on come from one snapshot."""
        ...

    def write_rows(self, connection: Connection, statement: Statement, rows: Sequence[Row]) -> int:
        """Insert or update rows and return how many were."""
        ...

    def read_fences(
        self, connection: Connection, partitions: Iterable[int]
    ) -> dict[int, tuple[str, int]]:
        """Read the owners and epochs of partitions, which do not change until the transaction ends.

        Before any row is read or written (EB4).
        """
        ...

    def read_rows(self, connection: Connection, seqs: Iterable[int]) -> Sequence[Sequence[Any]]:
        """Read rows of ROW_COLUMNS, which nobody else changes until the transaction ends."""
        ...

    def read_failures(
        self, connection: Connection, numbers: Sequence[int]
    ) -> Sequence[Sequence[Any]]:
        """Read the rows of failures of some subscriptions, which then do not change."""
        ...

    def find_lanes(
        self, connection: Connection, partitions: Sequence[int]
    ) -> Sequence[Sequence[Any]]:
        """Read the lanes of partitions with pending rows: partition, subscription, first due time.

        From lane to lane by the index, so that it costs by lanes and not by pending rows: a
        subscription with a million of them is one step.
        """
        ...

    def read_lanes(
        self, connection: Connection, reads: Sequence[LaneRead], now: Instant
    ) -> Sequence[Sequence[Sequence[Any]]]:
        """Read the first pending rows of lanes for new_delivery_of(), in the order of the reads."""
        ...

    def read_targets(self, connection: Connection, numbers: Iterable[int]) -> Sequence[Target]:
        """Read what a fan-out needs to know of subscriptions, in the order of their numbers."""
        ...

    def read_entries(
        self, connection: Connection, since: Version, most: int
    ) -> Sequence[Sequence[Any]]:
        """Read rows for entry_of(): the first subscriptions changed after a version, in order."""
        ...

    def read_events(
        self, connection: Connection, seqs: Sequence[EventSeq]
    ) -> Sequence[Mapping[str, Any]]:
        """Read events with their payloads as mappings for rows.py."""
        ...


_DIALECTS: Mapping[str, Dialect] = {"sqlite": sqlite, "postgresql": postgres}


def dialect_of(connection: Connection) -> Dialect:
    """Return the statements of the database that a connection leads to."""
    return _DIALECTS[connection.dialect.name]
