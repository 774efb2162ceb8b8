"""Statements for many rows at once on PostgreSQL: one array for each column.

The text of a statement does not depend on the number of rows, so that it is prepared once; arrays
were measured faster than any other way of handing over many rows (performance.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary

from webhooks_server.domain.ids import EventSeq, Version
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.dialects.statements import (
    ENTRY_COLUMNS,
    Insertion,
    Statement,
    Target,
    target_of,
)
from webhooks_server.storage.sql.rows.events import EVENT_COLUMNS
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import metadata


def begin_snapshot(connection: Connection) -> None:
    """Let all that a reader reads from now on come from one snapshot."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def write_rows(connection: Connection, statement: Statement, rows: Sequence[Row]) -> int:
    """Insert or update rows and return how many were."""
    if not rows:
        return 0
    once = _may_come_once(statement)
    columns = tuple(
        column[:1] if name in once and column.count(column[0]) == len(column) else column
        for name, column in zip(statement.columns, zip(*rows, strict=True), strict=True)
    )
    return connection.exec_driver_sql(_text_of(statement, connection.dialect), columns).rowcount


# The rows are locked in the order of their keys, as by everyone: so that nobody ever waits in a
# circle.
_FENCES = """
SELECT id, owner, epoch FROM partitions WHERE id = ANY($1::int[]) ORDER BY id FOR SHARE
"""
_ROWS = """
SELECT seq, uid, state, due_time, reason, attempt_count, charged_count, retry_requests,
  final_before, retry_time, complete_time
FROM deliveries WHERE seq = ANY($1::bigint[]) ORDER BY seq FOR UPDATE
"""


def read_fences(connection: Connection, partitions: Iterable[int]) -> dict[int, tuple[str, int]]:
    """Read the owners and epochs of partitions."""
    found = connection.exec_driver_sql(_FENCES, (list(partitions),))
    return {partition: (owner, epoch) for partition, owner, epoch in found}


def read_rows(connection: Connection, seqs: Iterable[int]) -> Sequence[Sequence[Any]]:
    """Read rows of ROW_COLUMNS."""
    return connection.exec_driver_sql(_ROWS, (list(seqs),)).all()


_FAILURES = """
SELECT subscription, since, exhausted_count FROM failures
WHERE subscription = ANY($1::bigint[]) ORDER BY subscription FOR UPDATE
"""


def read_failures(connection: Connection, numbers: Sequence[int]) -> Sequence[Sequence[Any]]:
    """Read the rows of failures of some subscriptions, which then do not change."""
    return connection.exec_driver_sql(_FAILURES, (list(numbers),)).all()


# A lane is asked for as what lies between itself and itself: that can be looked for in the index
# of what is pending alone. Asked with `partition = … AND subscription = …`, PostgreSQL read and
# sorted all that a subscription has ever had, where it knew the table from when it was small.
_LANE = """
  WHERE state = 1 AND (partition, subscription) >= (lane.partition, lane.subscription)
    AND (partition, subscription) <= (lane.partition, lane.subscription)
  ORDER BY partition, subscription, due_time, seq
"""
_FIND = f"""
WITH RECURSIVE lane (partition, subscription) AS (
  SELECT given.id, (SELECT min(subscription) FROM deliveries
                    WHERE state = 1 AND partition = given.id)
  FROM unnest($1::smallint[]) AS given (id)
  UNION ALL
  SELECT partition, (SELECT min(subscription) FROM deliveries
                     WHERE state = 1 AND partition = lane.partition
                     AND subscription > lane.subscription)
  FROM lane WHERE subscription IS NOT NULL
)
SELECT partition, subscription, (SELECT due_time FROM deliveries {_LANE} LIMIT 1)
FROM lane WHERE subscription IS NOT NULL
"""  # noqa: S608 - own words


def find_lanes(connection: Connection, partitions: Sequence[int]) -> Sequence[Sequence[Any]]:
    """Read the lanes of partitions with pending rows: partition, subscription, first due time."""
    return connection.exec_driver_sql(_FIND, (list(partitions),)).all()


# From where nothing settled is left on: what PostgreSQL cannot clear away while somebody holds an
# old snapshot would be looked at again each time (engine.md, EC2).
_LANES = """
SELECT lane.number, seq, encode(uid, 'hex'), event_seq, due_time - $5, $5 - create_time,
  attempt_count, charged_count, retry_requests, trigger, final_before, abandoned_count, own_count,
  internal_count, doubtful_count
FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::int[], $6::bigint[])
  AS lane (number, partition, subscription, most, since)
CROSS JOIN LATERAL (
  SELECT * FROM deliveries WHERE state = 1
    AND (partition, subscription, due_time) >= (lane.partition, lane.subscription, lane.since)
    AND (partition, subscription) <= (lane.partition, lane.subscription)
  ORDER BY partition, subscription, due_time, seq LIMIT lane.most
) AS pending
"""


def read_lanes(
    connection: Connection, reads: Sequence[LaneRead], now: Instant
) -> Sequence[Sequence[Sequence[Any]]]:
    """Read the first pending rows of lanes for new_delivery_of(), in the order of the reads."""
    found: list[list[Sequence[Any]]] = [[] for _ in reads]
    asked = (
        range(len(reads)),
        [read.partition for read in reads],
        [read.subscription for read in reads],
        [read.limit for read in reads],
        now,
        [read.since for read in reads],
    )
    for number, *row in connection.exec_driver_sql(_LANES, asked):
        found[number].append(row)
    return found


_TARGETS = """
SELECT number, partition, deleted FROM subscriptions WHERE number = ANY($1::bigint[])
ORDER BY number
"""


def read_targets(connection: Connection, numbers: Iterable[int]) -> Sequence[Target]:
    """Read what a fan-out needs to know of subscriptions, in the order of their numbers."""
    return [target_of(row) for row in connection.exec_driver_sql(_TARGETS, (list(numbers),))]


_ENTRIES = (
    f"SELECT {ENTRY_COLUMNS} FROM subscriptions WHERE version > $1 ORDER BY version"  # noqa: S608
    " LIMIT $2"
)


def read_entries(connection: Connection, since: Version, most: int) -> Sequence[Sequence[Any]]:
    """Read rows for entry_of(): the first subscriptions changed after a version, in order."""
    return connection.exec_driver_sql(_ENTRIES, (since, most)).all()


_EVENTS = (
    f"SELECT {', '.join(EVENT_COLUMNS)}, length(payload) AS payload_size"  # noqa: S608 - own names
    " FROM events WHERE seq = ANY($1::bigint[])"
)


def read_events(connection: Connection, seqs: Sequence[EventSeq]) -> Sequence[Mapping[str, Any]]:
    """Read events with their payloads as mappings for rows.py."""
    found = connection.exec_driver_sql(_EVENTS, (list(seqs),)).mappings()
    return [{str(name): value for name, value in row.items()} for row in found]


@cache
def _may_come_once(statement: Statement) -> frozenset[str]:
    """Return the columns whose array has one element where all rows have the same value.

    In most groups that is more than half of them, and to hand over an element costs as much as to
    make it.
    """
    if not isinstance(statement, Insertion):
        return frozenset()
    given = metadata.tables[statement.table].c
    return frozenset(
        name
        for name in statement.columns
        # What is random or a payload is not even compared.
        if not given[name].nullable and not isinstance(given[name].type, LargeBinary)
    )


@cache
def _text_of(statement: Statement, dialect: Dialect) -> str:
    # No values: names and types of our own tables and columns.
    table, columns = statement.table, ", ".join(statement.columns)
    arrays = ", ".join(
        f"${position}::{metadata.tables[table].c[column].type.compile(dialect)}[]"
        for position, column in enumerate(statement.columns, 1)
    )
    if isinstance(statement, Insertion):
        conflict = statement.conflict
        # Where two groups could wait for each other they insert in the same order, and do not.
        tail = f" ORDER BY {conflict} ON CONFLICT ({conflict}) DO NOTHING" if conflict else ""
        # unnest() fills short arrays up with NULL.
        once = _may_come_once(statement)
        values = ", ".join(
            f"coalesce(given.{column}, (${position})[1]) AS {column}" if column in once else column
            for position, column in enumerate(statement.columns, 1)
        )
        return (
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM unnest({arrays})"  # noqa: S608
            f" AS given ({columns}){tail}"
        )
    return (
        f"UPDATE {table} SET {statement.changes}"  # noqa: S608
        f" FROM unnest({arrays}) AS given ({columns}) WHERE {statement.condition}"
    )
