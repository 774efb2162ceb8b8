"""The loop that writes groups outlives what goes wrong in it, and never dies unseen (EA3)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.shelf import Shelf, StandingClock, event, publish_of
from tests.harness.sqlite import held, settled, writer_of
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql import SqliteConfig, open_sqlite
from webhooks_server.storage.sql import writer as writing
from webhooks_server.storage.sql.connection import driver_of, run_pragma

BAD = event("bad", occur_time=Instant(2**70))
"""No database takes this time."""


@pytest.fixture
async def told() -> AsyncIterator[list[str]]:
    """Keep what the event loop is told of faults."""
    loop = asyncio.get_running_loop()
    faults: list[str] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: faults.append(context["message"]))
    yield faults
    loop.set_exception_handler(before)


async def test_a_neighbour_of_a_bad_append_whose_caller_is_gone_is_accepted(sqlite: Shelf) -> None:
    """EA3: one bad operation fails alone, whether or not somebody waits for it."""
    async with held(sqlite):
        bad = asyncio.ensure_future(sqlite.stores.events.append(publish_of(BAD)))
        good = asyncio.ensure_future(sqlite.publish("good"))
        await settled()
        bad.cancel()
    (accepted,) = await good
    assert not accepted.duplicate


async def test_a_checkpoint_that_fails_leaves_the_patience_with_others_as_it_was(
    sqlite: Shelf,
) -> None:
    thread = writer_of(sqlite)._thread
    # In a transaction nothing can be moved into the database.
    await thread.run(lambda connection: driver_of(connection).execute("BEGIN IMMEDIATE"))
    with pytest.raises(StoreUnavailable):
        await thread.truncate_wal()
    await thread.run(lambda connection: driver_of(connection).execute("ROLLBACK"))
    assert await thread.run(lambda connection: run_pragma(connection, "busy_timeout")) == 30_000


async def test_an_append_that_cannot_be_prepared_any_more_fails_alone(sqlite: Shelf) -> None:
    """Nobody wants it when it comes; and when somebody does, it turns out to be no good."""
    async with held(sqlite):
        creating = asyncio.ensure_future(sqlite.subscribe("sub"))
        await settled()
        unfit = publish_of(event("unfit"), first_due_delay="soon")
        failing = asyncio.ensure_future(sqlite.stores.events.append(unfit))
        good = asyncio.ensure_future(sqlite.publish("good"))
    await creating
    with pytest.raises(TypeError):
        await failing
    (accepted,) = await good
    assert accepted.event.delivery_count == 1
    await sqlite.publish("after")


async def test_a_fault_of_a_checkpoint_is_told_and_the_next_group_is_written(
    sqlite: Shelf, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LARGEST_WAL", 0)
    monkeypatch.setattr(writer_of(sqlite)._thread, "_gate", None)
    for name in ("first", "second"):
        await sqlite.publish(name)
    await settled()
    assert told == ["the loop that writes groups met a fault"]


async def test_a_log_that_cannot_be_looked_at_stops_nothing(
    sqlite: Shelf, told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(writer_of(sqlite)._thread, "_wal", tmp_path / "file" / "wal")
    for name in ("first", "second"):
        await sqlite.publish(name)
    assert told == []


async def test_where_the_loop_dies_all_ends_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every publish would wait for ever, and nobody know why."""

    def die() -> None:
        raise ZeroDivisionError

    clock, index = StandingClock(), MatchIndex()
    waiting: list[asyncio.Future[object]] = []

    async def serve() -> None:
        async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
            shelf = Shelf(opened.stores, clock, index)
            monkeypatch.setattr(writer_of(shelf).backlog, "take_group", die)
            waiting.append(asyncio.ensure_future(shelf.publish("e1")))
            await asyncio.Event().wait()

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(serve(), 5)
    assert isinstance(waiting[0].exception(), StoreUnavailable)


async def test_an_error_of_the_block_comes_out_as_itself_once_all_is_written(
    tmp_path: Path,
) -> None:
    clock, index = StandingClock(), MatchIndex()
    waiting: list[asyncio.Future[object]] = []

    async def serve() -> None:
        async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
            shelf = Shelf(opened.stores, clock, index)
            waiting.append(asyncio.ensure_future(shelf.publish("e1")))
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve()
    assert await waiting[0]
