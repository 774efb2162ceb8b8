"""Who asks for much waits alone: the engine has readers of its own, and a list stops in time."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.harness.shelf import START, Shelf
from tests.harness.sqlite import readers_of
from webhooks_server.domain.delivery import DeliveryCounts, DeliveryState
from webhooks_server.domain.errors import TooMuchToRead
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import DEFAULT_TENANT, Version
from webhooks_server.domain.paging import PageRequest
from webhooks_server.storage.sql import counts, scan
from webhooks_server.storage.sql.config import READERS
from webhooks_server.storage.sql.connection import reader_engine
from webhooks_server.storage.sql.readers import Gate, Readers

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def callers_of(shelf: Shelf) -> Readers:
    return readers_of(shelf)[0]


async def test_the_engine_reads_while_callers_hold_all_their_readers(sqlite: Shelf) -> None:
    """S5."""
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    (accepted,) = await sqlite.publish("e1")
    done = threading.Event()
    held = [
        asyncio.ensure_future(callers_of(sqlite).run(lambda _: done.wait(10)))
        for _ in range(2 * READERS)
    ]
    stores = sqlite.stores
    async with asyncio.timeout(5):
        (row,) = await sqlite.due(subscriber)
        assert len(await stores.lanes.find([subscriber.partition])) == 1
        assert await stores.lanes.fan_outs() == []
        assert len(await stores.events.load([accepted.event.seq])) == 1
        assert len(await stores.subscriptions.load([subscriber.number])) == 1
        assert len((await stores.subscriptions.changes(Version(0))).entries) == 1
        await sqlite.record(subscriber, row)
    assert not any(one.done() for one in held)
    done.set()
    await asyncio.gather(*held)


async def test_a_read_that_takes_too_long_is_interrupted(sqlite: Shelf, tmp_path: Path) -> None:
    readers = Readers(reader_engine(tmp_path / "data" / "webhooks.db"), Gate(), 1, seconds=0.05)

    def endless(connection: Connection) -> object:
        return connection.exec_driver_sql(ENDLESS).scalar_one()

    with pytest.raises(TooMuchToRead):
        await readers.run(endless)
    assert await readers.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    readers.close()


@pytest.mark.parametrize("what", ["events", "deliveries"])
@pytest.mark.parametrize("full", [False, True])
async def test_a_list_that_runs_out_of_time_goes_on_with_the_next_page(
    sqlite: Shelf, monkeypatch: pytest.MonkeyPatch, what: str, full: bool
) -> None:
    """EC4: a filter that few rows meet makes short pages, which miss nothing and come to an end."""
    monkeypatch.setattr(scan, "_KEYS_FOR_A_ROW", 1)
    monkeypatch.setattr(scan, "SCAN_SECONDS", -1.0)
    subscriber = await sqlite.subscribe("sub")
    for number in range(30):
        rare = "rare.one" if number in {0, 9, 10, 29} else "common.one"
        await sqlite.publish(f"e{number}", event_type=rare)
    terms = [Term(field="event_type", operator="=", value="rare.one")]
    pages: list[list[str]] = []
    before: int | None = None
    while len(pages) < 30:
        asked = PageRequest(size=3, before=before)
        if what == "events":
            events = await sqlite.stores.events.list(DEFAULT_TENANT, terms, asked, full=full)
            pages.append([one.id for one in events.items])
            before = events.next_before
        else:
            deliveries = await sqlite.stores.deliveries.list(
                DEFAULT_TENANT, subscriber.id, terms, asked, full=full
            )
            pages.append([one.event for one in deliveries.items])
            before = deliveries.next_before
        if before is None:
            break
    assert [name for page in pages for name in page] == ["e29", "e10", "e9", "e0"]
    assert len(pages) == 8
    assert [] in pages


async def test_counts_add_up_over_many_short_reads(
    sqlite: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber, rows = await sqlite.lane(10)
    sqlite.clock.advance(1)
    await sqlite.publish("later", event_type="sub.happened")
    for row in rows[:3]:
        await sqlite.record(subscriber, row, state=DeliveryState.PENDING, due_in=1)
    await sqlite.record(subscriber, rows[9])
    expected = DeliveryCounts(
        pending=10, retrying=3, succeeded=1, attempts=4, oldest_pending_time=START
    )
    for span in (1, 3, 1000):
        monkeypatch.setattr(counts, "_SPAN", span)
        assert await sqlite.stores.deliveries.counts(None) == expected


async def test_a_list_with_time_fills_its_page(
    sqlite: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_KEYS_FOR_A_ROW", 1)
    await sqlite.publish(*(f"e{number}" for number in range(30)))
    first = await sqlite.stores.events.list(None, (), PageRequest(size=20), full=False)
    assert len(first.items) == 20
    rest = await sqlite.stores.events.list(
        None, (), PageRequest(size=20, before=first.next_before), full=False
    )
    assert [one.id for one in rest.items] == [f"e{number}" for number in range(9, -1, -1)]
    assert rest.next_before is None
