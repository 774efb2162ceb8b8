"""Copying the database while it is written, by SQLite's own means (engine.md, EA5)."""

import math
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from webhooks_server.domain.audit import Backup
from webhooks_server.domain.errors import DatabaseDamaged, StoreUnavailable
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.connection import (
    driver_of,
    limit_driver_time,
    run_pragma,
)
from webhooks_server.storage.sql.dialects.sqlite import begin_snapshot
from webhooks_server.storage.sql.files import sync_directory

_UNFINISHED = ".part"
# 4 MiB: some milliseconds between two looks at the time.
_PAGES_BETWEEN_LOOKS = 1024


def copy_database(
    connection: Connection, directory: Path, now: Instant, deadline: float = math.inf
) -> Backup:
    """Copy the database to `<directory>/<time>.db`, which appears when it is whole and synced.

    Raises StoreUnavailable where the copy cannot be written, or not until a moment of
    time.monotonic(), and DatabaseDamaged where what was copied is not sound. Then nothing is left.
    """
    moment = datetime.fromtimestamp(now / 1_000_000, UTC)
    finished = directory / f"{moment:%Y%m%dT%H%M%S.%fZ}.db"
    unfinished = finished.with_suffix(_UNFINISHED)
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        _remove_unfinished(directory)
        unfinished.touch(mode=0o600)
        _copy(connection, unfinished, deadline)
        unfinished.rename(finished)
        sync_directory(directory)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable("the backup could not be written") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Backup(path=str(finished.absolute()), size=finished.stat().st_size)


def _remove_unfinished(directory: Path) -> None:
    # What a process that was killed left behind; whoever copies owns the data directory.
    for left in directory.glob(f"*{_UNFINISHED}"):
        left.unlink()


def _copy(connection: Connection, target: Path, deadline: float) -> None:
    def look(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise StoreUnavailable

    # A snapshot held from the first step to the last: else every commit of the writer in between
    # would make the copy begin again.
    begin_snapshot(connection)
    run_pragma(connection, "schema_version")
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        limit_driver_time(copy, deadline)
        driver_of(connection).backup(copy, pages=_PAGES_BETWEEN_LOOKS, progress=look)
        # One file, which can be moved and read without leaving others behind.
        copy.execute("PRAGMA journal_mode = DELETE")
        (problem,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise DatabaseDamaged(f"the database is damaged ({problem}); restore an earlier backup")
