"""Stores on an SQL database: SQLAlchemy Core, one file per transaction script; now on SQLite."""

from webhooks_server.storage.sql import lock
from webhooks_server.storage.sql.commands import audit_sqlite, backup_sqlite, migrate_sqlite
from webhooks_server.storage.sql.config import SqliteConfig
from webhooks_server.storage.sql.open import SqliteStores, open_sqlite

__all__ = [
    "SqliteConfig",
    "SqliteStores",
    "audit_sqlite",
    "backup_sqlite",
    "lock",
    "migrate_sqlite",
    "open_sqlite",
]
