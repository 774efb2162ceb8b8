"""Statements for many rows at once on SQLite, and the numbers of new rows.

Each statement here takes one step, whatever the number of rows: for every further step
Python's driver gives the interpreter lock away and waits for it again, up to 5 ms each beside a
busy event loop. So many rows come in through one VALUES list, and go out as one JSON text. They go
to the driver itself, inside the transaction that SQLAlchemy began: by way of SQLAlchemy a statement
costs as much as twenty rows.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text

from webhooks_server.domain.ids import EventSeq, Version
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.connection import driver_of
from webhooks_server.storage.sql.dialects.statements import (
    ENTRY_COLUMNS,
    Insertion,
    Statement,
    Target,
    target_of,
)
from webhooks_server.storage.sql.rows.values import Row

# SQLite takes at most 32,766 parameters in a statement; smaller ones need less memory.
_PARAMETERS_AT_ONCE = 10_000
# Payloads up to this size travel inside the one JSON text, in hexadecimal digits.
_SMALL_PAYLOAD = 8192


class Numbers:
    """Numbers for new rows, from where the database has them; seqs go up and are used once.

    One process owns a SQLite database, so they are counted in memory. What is not committed leaves
    a gap.
    """

    def __init__(self, last_event: int, last_delivery: int) -> None:
        self.last_event = last_event
        self.last_delivery = last_delivery

    def take_events(self, count: int) -> Sequence[int]:
        """Return so many seqs for events."""
        self.last_event += count
        return range(self.last_event - count + 1, self.last_event + 1)

    def take_deliveries(self, count: int) -> Sequence[int]:
        """Return so many seqs for deliveries."""
        self.last_delivery += count
        return range(self.last_delivery - count + 1, self.last_delivery + 1)


def begin_snapshot(connection: Connection) -> None:
    """Let all that a reader reads from now on come from one snapshot."""
    driver_of(connection).execute("BEGIN")


def write_rows(connection: Connection, statement: Statement, rows: Sequence[Row]) -> int:
    """Insert or update rows and return how many were."""
    driver, written = driver_of(connection), 0
    around = _around(statement)
    for block in _blocks(rows, _PARAMETERS_AT_ONCE // len(statement.columns)):
        values = ",".join([around.row] * len(block))
        written += driver.execute(
            around.head + values + around.tail, tuple(chain.from_iterable(block))
        ).rowcount
    return written


def read_state(connection: Connection) -> tuple[Instant, Numbers]:
    """Read how far the clock and the numbers of new rows have come."""
    clock, last_event, last_delivery = _read_one(
        connection, "SELECT clock, last_event, last_delivery FROM control", ()
    )
    return Instant(clock), Numbers(last_event, last_delivery)


def keep_state(connection: Connection, now: Instant, numbers: Numbers) -> Version:
    """Keep how far the clock and the numbers have come (EC5); returns the control version."""
    (version,) = _read_one(
        connection,
        "UPDATE control SET clock = max(clock, ?), last_event = ?, last_delivery = ?"
        " RETURNING version",
        (now, numbers.last_event, numbers.last_delivery),
    )
    return Version(version)


_FENCES = """
SELECT json_group_array(json_array(id, owner, epoch))
FROM partitions WHERE id IN (SELECT value FROM json_each(?))
"""
_ROWS = """
SELECT json_group_array(json_array(
  seq, hex(uid), state, due_time, reason, attempt_count, charged_count, retry_requests,
  final_before, retry_time, complete_time))
FROM deliveries WHERE seq IN (SELECT value FROM json_each(?))
"""


def read_fences(connection: Connection, partitions: Iterable[int]) -> dict[int, tuple[str, int]]:
    """Read the owners and epochs of partitions."""
    (answer,) = _read_one(connection, _FENCES, (json.dumps(list(partitions)),))
    return {partition: (owner, epoch) for partition, owner, epoch in json.loads(answer)}


def read_rows(connection: Connection, seqs: Iterable[int]) -> list[list[Any]]:
    """Read rows of ROW_COLUMNS."""
    (answer,) = _read_one(connection, _ROWS, (json.dumps(list(seqs)),))
    found: list[list[Any]] = json.loads(answer)
    for row in found:
        row[1] = bytes.fromhex(row[1])
    return found


_FAILURES = """
SELECT json_group_array(json_array(subscription, since, exhausted_count))
FROM failures WHERE subscription IN (SELECT value FROM json_each(?))
"""


def read_failures(connection: Connection, numbers: Sequence[int]) -> Sequence[Sequence[Any]]:
    """Read the rows of failures of some subscriptions, which then do not change."""
    (answer,) = _read_one(connection, _FAILURES, (json.dumps(numbers),))
    found: list[list[int]] = json.loads(answer)
    return found


_FIND = text(
    """
    WITH RECURSIVE lane (partition, subscription) AS (
      SELECT id, (SELECT min(subscription) FROM deliveries
                  WHERE state = 1 AND partition = partitions.id)
      FROM partitions WHERE id IN :partitions
      UNION ALL
      SELECT partition, (SELECT min(subscription) FROM deliveries
                         WHERE state = 1 AND partition = lane.partition
                         AND subscription > lane.subscription)
      FROM lane WHERE subscription IS NOT NULL
    )
    SELECT partition, subscription, (
      SELECT min(due_time) FROM deliveries WHERE state = 1 AND partition = lane.partition
      AND subscription = lane.subscription)
    FROM lane WHERE subscription IS NOT NULL
    """
).bindparams(bindparam("partitions", expanding=True))


def find_lanes(connection: Connection, partitions: Sequence[int]) -> Sequence[Sequence[Any]]:
    """Read the lanes of partitions with pending rows: partition, subscription, first due time."""
    return connection.execute(_FIND, {"partitions": list(partitions)}).all()


_LANES = """
SELECT json_group_array(json_array(json_extract(lane.value, '$[0]'), json((
  SELECT json_group_array(json_array(
    seq, hex(uid), event_seq, due_time - ?3, ?3 - create_time, attempt_count, charged_count,
    retry_requests, trigger, final_before, abandoned_count, own_count, internal_count,
    doubtful_count))
  FROM (SELECT * FROM deliveries WHERE state = 1
        AND partition = json_extract(lane.value, '$[1]')
        AND subscription = json_extract(lane.value, '$[2]')
        ORDER BY due_time, seq LIMIT ?2)))))
FROM json_each(?1) AS lane
"""


def read_lanes(
    connection: Connection, reads: Sequence[LaneRead], now: Instant
) -> list[list[list[Any]]]:
    """Read the first pending rows of lanes for new_delivery_of(), in the order of the reads."""
    found: list[list[list[Any]]] = [[] for _ in reads]
    # LIMIT takes no column: lanes go together whose limits have the same number of bits.
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for position, read in enumerate(reads):
        by_size[read.limit.bit_length()].append(position)
    for positions in by_size.values():
        lanes = json.dumps(
            [
                (position, reads[position].partition, reads[position].subscription)
                for position in positions
            ]
        )
        limit = max(reads[position].limit for position in positions)
        (answer,) = _read_one(connection, _LANES, (lanes, limit, now))
        for position, rows in json.loads(answer):
            found[position] = rows[: reads[position].limit]
    return found


_TARGETS = """
SELECT json_group_array(json_array(number, partition, deleted))
FROM (SELECT number, partition, deleted FROM subscriptions
      WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number)
"""


def read_targets(connection: Connection, numbers: Iterable[int]) -> list[Target]:
    """Read what a fan-out needs to know of subscriptions, in the order of their numbers."""
    (answer,) = _read_one(connection, _TARGETS, (json.dumps(list(numbers)),))
    return [target_of(row) for row in json.loads(answer)]


_ENTRIES = (
    f"SELECT json_group_array(json_array({ENTRY_COLUMNS}))"  # noqa: S608 - own names
    " FROM (SELECT * FROM subscriptions WHERE version > ? ORDER BY version LIMIT ?)"
)


def read_entries(connection: Connection, since: Version, most: int) -> Sequence[Sequence[Any]]:
    """Read rows for entry_of(): the first subscriptions changed after a version, in order."""
    (answer,) = _read_one(connection, _ENTRIES, (since, most))
    found: list[list[Any]] = json.loads(answer)
    return found


_EVENTS = """
SELECT json_group_array(json_array(
  seq, tenant, id, event_type, is_json, content_type, source, subject, occur_time, attributes,
  data_schema, publisher, traceparent, matched_count, create_time, length(payload),
  CASE WHEN length(payload) <= ?2 THEN hex(payload) END))
FROM events WHERE seq IN (SELECT value FROM json_each(?1))
"""
_EVENT_NAMES = (
    "seq tenant id event_type is_json content_type source subject occur_time attributes data_schema"
    " publisher traceparent matched_count create_time payload_size payload"
).split()
_LARGE_PAYLOADS = "SELECT seq, payload FROM events WHERE seq IN (SELECT value FROM json_each(?))"


def read_events(connection: Connection, seqs: Sequence[EventSeq]) -> Sequence[Mapping[str, Any]]:
    """Read events with their payloads as mappings for rows.py."""
    (answer,) = _read_one(connection, _EVENTS, (json.dumps(seqs), _SMALL_PAYLOAD))
    found = [dict(zip(_EVENT_NAMES, row, strict=True)) for row in json.loads(answer)]
    large = [event["seq"] for event in found if event["payload"] is None]
    payloads: dict[int, bytes] = {}
    if large:
        rows = connection.exec_driver_sql(_LARGE_PAYLOADS, (json.dumps(large),))
        payloads = dict(rows.all())
    for event in found:
        digits = event["payload"]
        event["payload"] = payloads[event["seq"]] if digits is None else bytes.fromhex(digits)
    return found


def _read_one(connection: Connection, query: str, arguments: Row) -> tuple[Any, ...]:
    cursor = driver_of(connection).execute(query, arguments)
    row: tuple[Any, ...] = cursor.fetchone()
    # Else an UPDATE with RETURNING is still under way.
    cursor.close()
    return row


def _blocks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


class _Around(NamedTuple):
    """The text before, for, and after the rows of a statement."""

    head: str
    row: str
    tail: str


@cache
def _around(statement: Statement) -> _Around:
    # No values: names of our own tables and columns.
    table, columns = statement.table, ", ".join(statement.columns)
    row = "(" + ", ".join("?" * len(statement.columns)) + ")"
    if isinstance(statement, Insertion):
        conflict = statement.conflict
        tail = f" ON CONFLICT ({conflict}) DO NOTHING" if conflict else ""
        return _Around(f"INSERT INTO {table} ({columns}) VALUES ", row, tail)  # noqa: S608
    # Python's driver counts rows only where a statement begins with what it does.
    head = f"UPDATE {table} SET {statement.changes} FROM (WITH given ({columns}) AS (VALUES "  # noqa: S608
    tail = f") SELECT * FROM given) AS given WHERE {statement.condition}"  # noqa: S608
    return _Around(head, row, tail)
