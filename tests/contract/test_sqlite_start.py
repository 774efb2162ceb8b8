"""What a SQLite storage looks at before it opens, and what it refuses."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.shelf import START, Shelf, StandingClock
from tests.harness.sqlite_file import NAME, fill, run_sql, start
from webhooks_server.domain.errors import (
    DatabaseDamaged,
    DataDirectoryInUse,
    StartError,
)
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql import (
    SqliteConfig,
    audit_sqlite,
    backup_sqlite,
    lock,
    migrate_sqlite,
    open_sqlite,
)
from webhooks_server.storage.sql.connection import check_durable, run_pragma, writer_engine


def names_in(directory: Path) -> set[str]:
    return {one.name for one in directory.iterdir()}


async def test_what_is_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    await fill(tmp_path)
    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), StandingClock()) as opened:
        assert (await opened.stores.subscriptions.get(DEFAULT_TENANT, NAME)).id == NAME


async def test_a_new_database_leaves_nothing_unfinished_behind(tmp_path: Path) -> None:
    (tmp_path / "webhooks.db.new").write_bytes(b"of a start that was killed")
    await start(tmp_path)
    assert names_in(tmp_path) == {"server.lock", "webhooks.db"}
    assert (tmp_path / "webhooks.db").stat().st_mode & 0o077 == 0


async def test_the_server_key_is_made_once(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        config = SqliteConfig(data_dir=tmp_path)
        async with open_sqlite(config, MatchIndex(), StandingClock()) as opened:
            keys.append(await opened.stores.control.server_key())
    assert keys[0] == keys[1]


async def test_a_second_opener_is_told_who_owns_the_directory(tmp_path: Path) -> None:
    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), StandingClock()) as opened:
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {os.getpid()}$"):
            await start(tmp_path)
        opened.lock.announce("127.0.0.1:50051")
        with pytest.raises(
            DataDirectoryInUse, match=rf"process {os.getpid()}, which serves on 127\.0\.0\.1:50051"
        ):
            await start(tmp_path)
        assert lock.owner(tmp_path) == lock.Owner(pid=os.getpid(), address="127.0.0.1:50051")
    assert lock.owner(tmp_path) is None
    await start(tmp_path)


def test_a_directory_that_is_not_there_has_no_owner(tmp_path: Path) -> None:
    assert lock.owner(tmp_path / "none") is None


async def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"file/data cannot be used: Not a directory"):
        await start(tmp_path / "file" / "data")


def test_a_commit_that_does_not_wait_for_the_disk_is_refused(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path)
    with writer_engine(tmp_path / "webhooks.db").connect() as connection:
        check_durable(connection)
        run_pragma(connection, "synchronous = NORMAL")
        with pytest.raises(StartError, match="does not wait for the disk"):
            check_durable(connection)


@pytest.mark.parametrize(
    "use", [migrate_sqlite, backup_sqlite, audit_sqlite], ids=lambda use: use.__name__
)
async def test_commands_keep_away_from_a_database_in_use(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), StandingClock()):
        with pytest.raises(DataDirectoryInUse):
            use(tmp_path)


def empty(database: Path) -> None:
    database.write_bytes(b"")


def garbage(database: Path) -> None:
    database.write_bytes(b"not a database at all" * 1000)


def cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def scratched(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[3 * 4096 : 12 * 4096] = b"\xaa" * (9 * 4096)
    database.write_bytes(content)


def removed(database: Path) -> None:
    database.rename(f"{database}-wal")


def foreign(database: Path) -> None:
    database.unlink()
    run_sql(database.parent, "CREATE TABLE something (else_ TEXT)")


@pytest.mark.parametrize(
    "damage", [empty, garbage, cut, scratched, removed, foreign], ids=lambda damage: damage.__name__
)
async def test_a_damaged_database_is_refused_and_left_as_it_is(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    database = tmp_path / "webhooks.db"
    await fill(tmp_path)
    damage(database)
    before = database.read_bytes() if database.exists() else None
    with pytest.raises(DatabaseDamaged, match=str(database)):
        await start(tmp_path)
    assert (database.read_bytes() if database.exists() else None) == before


async def test_the_clock_is_never_below_what_is_stored(tmp_path: Path) -> None:
    """EC5: a wall clock that was an hour ahead in the last run does not make rows wait."""
    ahead = StandingClock(wall_time=Instant(START + 3_600_000_000))
    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), ahead) as opened:
        shelf = Shelf(opened.stores, ahead, MatchIndex())
        subscriber = await shelf.subscribe("sub")
        await shelf.publish("e1")
    index = MatchIndex()
    async with open_sqlite(config, index, StandingClock()) as opened:
        shelf = Shelf(opened.stores, StandingClock(), index)
        (row,) = await shelf.due(subscriber)
        assert (row.due_in, row.age) == (0, 0)


def test_commands_on_a_database_that_nobody_uses(tmp_path: Path) -> None:
    for use in (backup_sqlite, audit_sqlite):
        with pytest.raises(DatabaseDamaged, match="there is no database in"):
            use(tmp_path)
    migrate_sqlite(tmp_path)
    migrate_sqlite(tmp_path)
    assert audit_sqlite(tmp_path).violations == ()
    made = backup_sqlite(tmp_path)
    assert Path(made.path).parent == tmp_path / "backups"
    assert Path(made.path).stat().st_size == made.size


_START_ONLY = """
import asyncio, sys
from pathlib import Path
from tests.harness.shelf import StandingClock
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

async def main():
    config = SqliteConfig(data_dir=Path(sys.argv[1]))
    async with open_sqlite(config, MatchIndex(), StandingClock()):
        print(sorted({"alembic", "sqlalchemy.orm"} & sys.modules.keys()))

asyncio.run(main())
"""


def test_a_start_imports_neither_alembic_nor_the_orm(tmp_path: Path) -> None:
    """Memory: they take as much as the rest of the server's own code."""
    done = subprocess.run(
        [sys.executable, "-c", _START_ONLY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE events",
        "DROP TABLE attempts",
        "ALTER TABLE deliveries RENAME COLUMN reason TO because",
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('second')",
        "DELETE FROM control",
        "INSERT INTO control SELECT 2, version, clock, last_event, last_delivery FROM control",
        "DELETE FROM partitions WHERE id = 255",
        "DELETE FROM server_keys",
        "DELETE FROM tenants",
    ],
)
async def test_a_database_that_lacks_what_it_must_have_is_damaged(
    tmp_path: Path, statement: str
) -> None:
    await fill(tmp_path)
    run_sql(tmp_path, statement)
    with pytest.raises(DatabaseDamaged):
        await start(tmp_path)
    assert names_in(tmp_path) >= {"webhooks.db"}


async def test_a_lock_that_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "server.lock")
    with pytest.raises(StartError, match=r"server\.lock"):
        await start(tmp_path)
