"""What a SQLite store needs to know, and its bounds."""

from dataclasses import dataclass
from pathlib import Path

DATABASE_NAME = "webhooks.db"
LOCK_NAME = "server.lock"
BACKUPS_NAME = "backups"
READERS = 4
ENGINE_READERS = 2
LONGEST_READ_SECONDS = 2.0
LARGEST_WAL = 16 * 1024 * 1024
LARGEST_QUICK_CHECK = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteConfig:
    """Where the database lives, and whether an older schema is migrated at the start."""

    data_dir: Path
    migrate: bool = True

    @property
    def database(self) -> Path:
        """The database file. Nothing but SQLite ever opens it, see EA5 in engine.md."""
        return self.data_dir / DATABASE_NAME

    @property
    def backups(self) -> Path:
        """Where backups are put."""
        return self.data_dir / BACKUPS_NAME
