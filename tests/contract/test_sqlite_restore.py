"""A backup comes back by the steps in docs/backups.md."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.harness.shelf import Shelf, StandingClock
from webhooks_server.domain.errors import DatabaseDamaged
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.sql import SqliteConfig, audit_sqlite, open_sqlite

PAGE = Path(__file__).parents[2] / "docs" / "backups.md"


async def crash_after_a_backup(data: Path) -> Path:
    """Publish, back up, publish twice more, and leave the files as a crash does."""
    index = MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=data), index, StandingClock()) as opened:
        shelf = Shelf(opened.stores, StandingClock(), index)
        await shelf.subscribe("sub")
        await shelf.publish("before")
        made = await opened.stores.control.backup()
        await shelf.publish("after-1")
        await shelf.publish("after-2")
        for name in ("webhooks.db-wal", "webhooks.db-shm"):
            shutil.copy(data / name, data.parent / name)
    for name in ("webhooks.db-wal", "webhooks.db-shm"):
        shutil.move(data.parent / name, data / name)
    return Path(made.path)


def follow(steps: str, backup: Path, directory: Path) -> None:
    exact, replaced = re.subn(r"\d{8}T\d{6}\.\d{6}Z\.db", backup.name, steps)
    assert replaced == 1
    subprocess.run(["/bin/sh", "-euc", exact], cwd=directory, check=True, timeout=10)


def documented_steps() -> str:
    page = PAGE.read_text()
    found = re.search(r"^## Restoring$.*?^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_documented_steps_bring_back_what_was_backed_up(tmp_path: Path) -> None:
    data = tmp_path / "data"
    backup = await crash_after_a_backup(data)
    follow(documented_steps(), backup, tmp_path)
    report = audit_sqlite(data)
    assert (report.events, report.violations) == (1, ())
    assert (data / "webhooks.db").stat().st_mode & 0o077 == 0
    assert backup.exists()
    index = MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=data), index, StandingClock()) as opened:
        shelf = Shelf(opened.stores, StandingClock(), index)
        await shelf.publish("new")
    assert audit_sqlite(data).events == 2


async def test_the_log_that_the_steps_remove_would_spoil_the_copy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    backup = await crash_after_a_backup(data)
    steps = "".join(line for line in documented_steps().splitlines(True) if "rm " not in line)
    follow(steps, backup, tmp_path)
    try:
        events = audit_sqlite(data).events
    except DatabaseDamaged:
        return
    assert events != 1
