"""Copying the database while it is written, by SQLite's own means (engine.md, EA5)."""

import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from webhooks_server.domain.audit import Backup
from webhooks_server.domain.errors import DatabaseDamaged, StoreUnavailable
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.connection import driver_of
from webhooks_server.storage.sql.files import sync_directory


def copy_database(connection: Connection, directory: Path, now: Instant) -> Backup:
    """Copy the database to `<directory>/<time>.db`, which appears when it is whole and synced.

    Raises StoreUnavailable where the copy cannot be written, and DatabaseDamaged where what was
    copied is not sound.
    """
    moment = datetime.fromtimestamp(now / 1_000_000, UTC)
    finished = directory / f"{moment:%Y%m%dT%H%M%S.%fZ}.db"
    unfinished = finished.with_suffix(".part")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        unfinished.touch(mode=0o600)
        _copy(driver_of(connection), unfinished)
        unfinished.rename(finished)
        sync_directory(directory)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise StoreUnavailable("the backup could not be written") from error
    return Backup(path=str(finished.absolute()), size=finished.stat().st_size)


def _copy(source: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        # In one step: between two, every commit of the writer would make it begin again.
        source.backup(copy)
        # One file, which can be moved and read without leaving others behind.
        copy.execute("PRAGMA journal_mode = DELETE")
        (problem,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise DatabaseDamaged(f"the database is damaged ({problem}); restore an earlier backup")
