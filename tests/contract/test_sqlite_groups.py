"""What only a database that groups commits can do, and do wrong."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy import event as events_of_sqlalchemy
from sqlalchemy.exc import IntegrityError

from tests.harness.shelf import ATTEMPT, Shelf, StandingClock, event, publish_of
from tests.harness.sqlite import held, readers_of, settled, writer_of
from webhooks_server.domain.delivery import DeliveryState, Outcome, Reason
from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql import SqliteConfig, backlog, open_sqlite
from webhooks_server.storage.sql.connection import (
    limit_time,
    reader_engine,
    run_pragma,
    store_errors,
)
from webhooks_server.storage.sql.dialects.sqlite import begin_snapshot
from webhooks_server.storage.sql.schema import control
from webhooks_server.storage.sql.thread import WriterThread

MIB = 1024 * 1024
TOO_LARGE = 2**70
"""No integer of a database; so it stands for whatever a database does not take."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "webhooks.db"


@contextmanager
def commits() -> Iterator[list[object]]:
    """Collect the connections that commit meanwhile, once for each commit."""
    counted: list[object] = []

    def count(connection: object) -> None:
        counted.append(connection)

    events_of_sqlalchemy.listen(Engine, "commit", count)
    yield counted
    events_of_sqlalchemy.remove(Engine, "commit", count)


def thread_of(shelf: Shelf) -> WriterThread:
    return writer_of(shelf)._thread


async def test_64_appends_at_once_are_a_few_commits(sqlite: Shelf) -> None:
    await sqlite.publish("before")
    with commits() as counted:
        await asyncio.gather(*(sqlite.publish(f"e{number}") for number in range(64)))
    assert len(counted) <= 2
    page = await sqlite.stores.events.list(None, (), PageRequest(size=100), full=False)
    assert len(page.items) == 65


async def test_a_bad_append_fails_alone(sqlite: Shelf) -> None:
    """EA3: the group is halved until the bad one is alone."""
    bad = event("bad", occur_time=Instant(TOO_LARGE))
    answers = await asyncio.gather(
        *(sqlite.publish(f"a{number}") for number in range(20)),
        sqlite.stores.events.append(publish_of(bad)),
        *(sqlite.publish(f"b{number}") for number in range(20)),
        return_exceptions=True,
    )
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(failure) for failure in failures] == [OverflowError]
    page = await sqlite.stores.events.list(None, (), PageRequest(size=100), full=False)
    assert len(page.items) == 40
    await sqlite.audited()


async def test_a_bad_append_does_not_undo_records(sqlite: Shelf) -> None:
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    (accepted,) = await sqlite.publish("e1")
    bad = event("bad", occur_time=Instant(TOO_LARGE))
    failure, recorded = await asyncio.gather(
        sqlite.stores.events.append(publish_of(bad)),
        sqlite.record(subscriber, accepted.deliveries[0]),
        return_exceptions=True,
    )
    assert isinstance(failure, OverflowError)
    assert not isinstance(recorded, BaseException)
    assert recorded.state is DeliveryState.SUCCEEDED


async def test_a_record_that_no_database_takes_is_quarantined_alone(sqlite: Shelf) -> None:
    """EA1: a record that can never commit must not hold up the others, nor be tried for ever."""
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    names = [f"e{number}" for number in range(9)]
    rows = [one.deliveries[0] for one in await sqlite.publish(*names)]
    records = [sqlite.record_of(subscriber, row) for row in rows]
    records[4] = replace(records[4], attempt=replace(ATTEMPT, status_code=TOO_LARGE))
    recorded, published = await asyncio.gather(
        sqlite.stores.lanes.record(records), sqlite.publish("beside")
    )
    states = [one.state for one in recorded]
    assert states == [DeliveryState.SUCCEEDED] * 4 + [DeliveryState.FAILED] + (
        [DeliveryState.SUCCEEDED] * 4
    )
    assert not published[0].duplicate
    shown = await sqlite.shown(subscriber, rows[4])
    assert (shown.state_reason, shown.attempt_count) == (Reason.QUARANTINED, 1)
    assert shown.last_attempt is not None
    assert shown.last_attempt.outcome is Outcome.INTERNAL
    await sqlite.audited()


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
    for call in (
        shelf.publish("e1"),
        shelf.stores.events.get(DEFAULT_TENANT, EventId("e1")),
        shelf.subscribe("sub"),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert not await shelf.stores.control.ready()


async def test_what_waits_is_written_before_the_store_closes(tmp_path: Path) -> None:
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
        waiting = [asyncio.ensure_future(shelf.publish(f"e{number}")) for number in range(40)]
        await asyncio.sleep(0)
    assert all(isinstance(answer, Sequence) for answer in await asyncio.gather(*waiting))


async def test_a_full_disk_refuses_and_takes_again_once_there_is_room(sqlite: Shelf) -> None:
    """S6: nobody is told that something is stored which is not, and nothing has to be restarted."""
    thread = thread_of(sqlite)
    pages = await thread.run(lambda connection: run_pragma(connection, "page_count"))
    assert isinstance(pages, int)
    await thread.run(lambda connection: run_pragma(connection, f"max_page_count = {pages + 20}"))
    answers = await asyncio.gather(
        *(
            sqlite.stores.events.append(publish_of(event(f"e{number}", payload=bytes(20_000))))
            for number in range(20)
        ),
        return_exceptions=True,
    )
    assert any(isinstance(answer, StoreUnavailable) for answer in answers)
    await thread.run(lambda connection: run_pragma(connection, "max_page_count = 100000"))
    assert await sqlite.stores.control.ready()
    (accepted,) = await sqlite.publish("after")
    assert not accepted.duplicate
    page = await sqlite.stores.events.list(None, (), PageRequest(size=100), full=False)
    stored = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(page.items) == len(stored) + 1
    await sqlite.audited()


async def test_a_foreign_lock_is_waited_for(sqlite: Shelf, database: Path) -> None:
    """S7: another tool writes for a while, and no error comes of it."""
    stranger = sqlite3.connect(database, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    publishing = asyncio.ensure_future(sqlite.publish("e1"))
    await asyncio.sleep(0.3)
    assert not publishing.done()
    stranger.execute("COMMIT")
    stranger.close()
    await publishing
    assert time.monotonic() - begun < 5


async def test_the_database_itself_refuses_a_second_row_for_the_same(
    sqlite: Shelf, database: Path
) -> None:
    """EA7: the constraints hold for every ordinary delivery, since no column in them is NULL."""
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    (accepted,) = await sqlite.publish("e1")
    await sqlite.record(subscriber, accepted.deliveries[0])
    other = sqlite3.connect(database)
    for table, changed in (
        ("deliveries", "seq = 99, uid = x'00'"),
        ("deliveries", "seq = 99, event_seq = 99"),
        ("attempts", "number = 99"),
        ("attempts", "token = x'00'"),
        ("events", "seq = 99"),
    ):
        columns = [row[1] for row in other.execute(f"PRAGMA table_info({table})")]
        given = dict(one.split(" = ") for one in changed.split(", "))
        values = ", ".join(given.get(column, column) for column in columns)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            other.execute(f"INSERT INTO {table} SELECT {values} FROM {table}")  # noqa: S608
    other.close()


@pytest.mark.long
async def test_the_log_stays_small_under_readers_that_overlap(
    sqlite: Shelf, database: Path
) -> None:
    """EC4: without the gate there is never a moment in which the log can begin anew."""
    stop = asyncio.Event()
    largest = 0

    async def read() -> None:
        while not stop.is_set():
            await sqlite.stores.events.list(None, (), PageRequest(size=8), full=True)

    readers = [asyncio.ensure_future(read()) for _ in range(6)]
    for number in range(24):
        large = [event(f"e{number}-{one}", payload=bytes(MIB)) for one in range(3)]
        await sqlite.stores.events.append(publish_of(*large))
        largest = max(largest, database.with_name("webhooks.db-wal").stat().st_size)
    stop.set()
    await asyncio.gather(*readers)
    assert largest < 24 * MIB


@pytest.mark.long
async def test_nor_do_transactions_outside_of_groups_fill_it(sqlite: Shelf, database: Path) -> None:
    stop = asyncio.Event()
    readers, _ = readers_of(sqlite)

    def stay(connection: Connection) -> None:
        begin_snapshot(connection)
        connection.execute(select(control.c.version)).scalar_one()
        time.sleep(0.01)

    async def read() -> None:
        while not stop.is_set():
            await readers.run(stay)

    reading = [asyncio.ensure_future(read()) for _ in range(3)]
    for _ in range(30):
        await sqlite.stores.control.pause_relay("", "x" * MIB)
    # Readers that stand in the way are left alone for a second before the next try.
    for _ in range(10):
        if database.with_name("webhooks.db-wal").stat().st_size < 24 * MIB:
            break
        await asyncio.sleep(0.3)
        await sqlite.stores.control.pause_relay("", "x")
    stop.set()
    await asyncio.gather(*reading)
    assert database.with_name("webhooks.db-wal").stat().st_size < 24 * MIB


async def test_a_count_that_takes_too_long_is_given_up(database: Path, sqlite: Shelf) -> None:
    """While it runs, the log only grows."""
    endless = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    with reader_engine(database).connect() as connection:
        limit_time(connection, time.monotonic() + 0.05)
        with pytest.raises(StoreUnavailable), store_errors():
            connection.exec_driver_sql(endless)


async def test_an_error_of_the_database_shows_no_values(sqlite: Shelf) -> None:
    """They are payloads and secrets, and an error's text may end up in a log."""
    statement = "INSERT INTO tenants VALUES (?, ?)"
    with pytest.raises(IntegrityError) as raised:
        await thread_of(sqlite).transact(
            lambda connection: connection.exec_driver_sql(statement, ("a secret", None))
        )
    assert "NOT NULL" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_attributes_count_among_what_waits(
    sqlite: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else 64 MiB of payloads could be gigabytes of the rest."""
    monkeypatch.setattr(backlog, "MAX_WAITING_BYTES", MIB)
    attributes = {f"name-{number}": "x" * 1000 for number in range(64)}
    async with held(sqlite):
        waiting = [
            asyncio.ensure_future(
                sqlite.stores.events.append(
                    publish_of(*(event(f"{name}{one}", attributes=attributes) for one in range(10)))
                )
            )
            for name in "ab"
        ]
        await settled()
        assert [one.done() for one in waiting] == [False, True]
    await waiting[0]
    assert isinstance(waiting[1].exception(), ServerOverloaded)
