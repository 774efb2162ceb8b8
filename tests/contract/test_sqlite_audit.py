"""Each kind of damage, planted by hand, is named by the audit; and backups hold what was there."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from pathlib import Path

import pytest

from tests.harness.shelf import Shelf, StandingClock, event, publish_of
from webhooks_server.domain.audit import Backup
from webhooks_server.domain.delivery import DeliveryState, NewDelivery
from webhooks_server.domain.errors import (
    DatabaseDamaged,
    ServerOverloaded,
    StoreUnavailable,
    TooMuchToRead,
)
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId, delivery_id
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.sql import SqliteConfig, backup, connection, long_reads, open_sqlite

# As a copy by hand may leave it.
WITHOUT_CONSTRAINTS = """
CREATE TABLE copy AS SELECT * FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE copy RENAME TO deliveries;
INSERT INTO deliveries SELECT * FROM deliveries WHERE seq = 1;
"""


def mismatch(matched: int, found: int, owed: int) -> str:
    """The sentence about the event whose first delivery is damaged."""
    return (
        f"event tenants/default/events/a matched {matched} subscriptions, but has {found} first"
        f" deliveries, and its fan-out owes {owed}"
    )


@pytest.fixture
async def rows(sqlite: Shelf) -> list[NewDelivery]:
    """Three deliveries: one waits, one is tried again, one succeeded."""
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    made = [one.deliveries[0] for one in await sqlite.publish("a", "b", "c")]
    await sqlite.record(subscriber, made[1], state=DeliveryState.PENDING, due_in=9)
    await sqlite.record(subscriber, made[2])
    await sqlite.audited()
    return made


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            "DELETE FROM deliveries WHERE seq = 1",
            mismatch(1, 0, 0),
        ),
        (
            "UPDATE events SET matched_count = 5 WHERE id = 'a'",
            mismatch(5, 1, 0),
        ),
        (
            "INSERT INTO fanouts VALUES ({EVENT}, 'default', 1, x'0100000002000000', 0)",
            mismatch(1, 1, 2),
        ),
        (
            "INSERT INTO fanouts VALUES ({EVENT}, 'default', 1, x'01000000', 1)",
            "the fan-out of event {3} stands at 1 of 1, or its event does not exist",
        ),
        (
            "INSERT INTO fanouts VALUES (77, 'default', 1, x'01000000', 0)",
            "the fan-out of event 77 stands at 0 of 1, or its event does not exist",
        ),
        (
            "DELETE FROM attempts WHERE delivery_seq = 2",
            "delivery {1} counts 1 attempts, but has 0, numbered up to 0",
        ),
        (
            "UPDATE attempts SET number = 2 WHERE delivery_seq = 2",
            "delivery {1} counts 1 attempts, but has 1, numbered up to 2",
        ),
        (
            "UPDATE deliveries SET attempt_count = 3 WHERE seq = 2",
            "delivery {1} counts 3 attempts, but has 1, numbered up to 1",
        ),
        (
            "UPDATE attempts SET delivery_seq = 99 WHERE delivery_seq = 2",
            "1 attempts are of the delivery 99, which does not exist",
        ),
        (
            "UPDATE deliveries SET state = 9 WHERE seq = 1",
            "delivery {0} has the unknown state 9",
        ),
        (
            "UPDATE deliveries SET complete_time = NULL WHERE seq = 3",
            "delivery {2} is final without a complete_time",
        ),
        (
            "UPDATE deliveries SET complete_time = 1 WHERE seq = 1",
            "delivery {0} is pending, but has a complete_time",
        ),
        (
            "INSERT INTO event_purges SELECT seq FROM events WHERE id = 'a'",
            "delivery {0} is pending, but its event {3} is being removed",
        ),
        (
            "DELETE FROM events WHERE id = 'a'",
            "delivery {0} is of the event {3}, which does not exist",
        ),
        (
            "UPDATE deliveries SET subscription = 77 WHERE seq = 1",
            "delivery {0} is for the subscription 77, which does not exist",
        ),
        (
            "UPDATE deliveries SET partition = 9 WHERE seq = 1",
            "delivery {0} lies in partition 9, its subscription in 1",
        ),
        (
            "UPDATE events SET tenant = 'other' WHERE id = 'a'",
            "delivery {0} of tenant default joins an event of other and a subscription of default",
        ),
        (
            WITHOUT_CONSTRAINTS,
            "event {3} has 2 deliveries to subscription 1 with replay 0",
        ),
    ],
)
async def test_damage_is_named(
    sqlite: Shelf, rows: list[NewDelivery], tmp_path: Path, damage: str, sentence: str
) -> None:
    stranger = sqlite3.connect(tmp_path / "data" / "webhooks.db")
    stranger.executescript(damage.replace("{EVENT}", str(rows[0].event_seq)))
    stranger.close()
    expected = sentence.format(*(delivery_id(row.uid) for row in rows), rows[0].event_seq)
    everything = await sqlite.stores.control.audit(None)
    assert expected in everything.violations


async def test_at_most_20_violations(
    sqlite: Shelf, rows: list[NewDelivery], tmp_path: Path
) -> None:
    await sqlite.publish(*(f"e{number}" for number in range(30)))
    stranger = sqlite3.connect(tmp_path / "data" / "webhooks.db")
    stranger.executescript("UPDATE deliveries SET attempt_count = 7, complete_time = 1")
    stranger.close()
    report = await sqlite.stores.control.audit(None)
    assert len(report.violations) == 20
    assert report.deliveries == 33


async def test_a_backup_made_while_others_write_is_whole(sqlite: Shelf, tmp_path: Path) -> None:
    await sqlite.subscribe("sub")
    await sqlite.publish("before")
    making = asyncio.ensure_future(sqlite.stores.control.backup())
    await asyncio.gather(*(sqlite.publish(f"e{number}") for number in range(50)))
    restored = restore(await making, tmp_path / "data" / "backups", tmp_path / "restored")
    config, index, clock = SqliteConfig(data_dir=restored), MatchIndex(), StandingClock()
    async with open_sqlite(config, index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
        await shelf.audited()
        stored = await opened.stores.events.get(DEFAULT_TENANT, EventId("before"))
        assert stored.delivery_count == 1


def restore(made: Backup, backups: Path, directory: Path) -> Path:
    """See that a backup is where it says, alone, and make it the database of a new directory."""
    backup = Path(made.path)
    assert [str(one) for one in backups.iterdir()] == [made.path]
    assert made.size == backup.stat().st_size
    assert backup.stat().st_mode & 0o077 == 0
    directory.mkdir()
    backup.rename(directory / "webhooks.db")
    return directory


async def test_what_is_written_meanwhile_does_not_begin_a_backup_anew(
    sqlite: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page at a time, so that there are many more commits than a copy can begin anew."""
    monkeypatch.setattr(backup, "_PAGES_BETWEEN_LOOKS", 1)
    large = [event(f"e{number}", payload=bytes(8000)) for number in range(300)]
    await sqlite.stores.events.append(publish_of(*large))
    making = asyncio.ensure_future(sqlite.stores.control.backup())
    beside = 0
    async with asyncio.timeout(20):
        while not making.done():
            await sqlite.publish(f"beside-{beside}")
            beside += 1
    with sqlite3.connect((await making).path) as copy:
        (found,) = copy.execute("SELECT count(*) FROM events").fetchone()
    copy.close()
    assert beside > 2
    # Begun anew, it would hold all but the last; one or two may come before its snapshot is taken.
    assert found <= 300 + beside / 2


@pytest.mark.parametrize("what", ["audit", "backup"])
async def test_a_read_that_takes_too_long_is_refused_for_good(
    sqlite: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A repetition would take as long: so it is not an error that says, try again."""
    monkeypatch.setattr(connection, "_STEPS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr(long_reads, "LONGEST_SECONDS", 0.0)
    await sqlite.publish("e1")
    with pytest.raises(TooMuchToRead, match=f"{what} of this database takes longer"):
        await long_read(sqlite, what)
    assert not list((tmp_path / "data").glob("backups/*"))


def long_read(shelf: Shelf, what: str) -> Awaitable[object]:
    control = shelf.stores.control
    return control.backup() if what == "backup" else control.audit(None)


@pytest.mark.parametrize("what", ["audit", "backup"])
async def test_a_second_long_read_is_refused(sqlite: Shelf, what: str) -> None:
    refused: list[str] = []
    # On a busy machine the first may have ended before the second is asked for.
    for _ in range(20):
        first = asyncio.ensure_future(sqlite.stores.control.audit(None))
        await asyncio.sleep(0)
        try:
            await long_read(sqlite, what)
        except ServerOverloaded as error:
            refused.append(str(error))
        await first
    assert refused
    assert all("runs already" in message for message in refused)
    await long_read(sqlite, what)


async def test_a_backup_of_what_is_damaged_leaves_nothing(sqlite: Shelf, tmp_path: Path) -> None:
    await sqlite.subscribe("sub")
    with sqlite3.connect(tmp_path / "data" / "webhooks.db") as stranger:
        stranger.execute("PRAGMA writable_schema = ON")
        stranger.execute("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'tenants'")
    stranger.close()
    with pytest.raises(DatabaseDamaged):
        await sqlite.stores.control.backup()
    assert list((tmp_path / "data" / "backups").iterdir()) == []


async def test_a_backup_removes_what_one_before_it_did_not_finish(
    sqlite: Shelf, tmp_path: Path
) -> None:
    backups = tmp_path / "data" / "backups"
    backups.mkdir()
    (backups / "20270115T080000.000000Z.part").write_bytes(b"of a server that was killed")
    made = await sqlite.stores.control.backup()
    assert [str(one) for one in backups.iterdir()] == [made.path]


async def test_a_backup_that_cannot_be_written_leaves_nothing(
    sqlite: Shelf, tmp_path: Path
) -> None:
    backups = tmp_path / "data" / "backups"
    backups.write_text("a file in the place of the directory")
    with pytest.raises(StoreUnavailable):
        await sqlite.stores.control.backup()
    await sqlite.publish("goes on")
