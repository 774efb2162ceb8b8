"""What the command line does to a database that no server has open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.errors import DatabaseDamaged
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.audit import count_everything
from webhooks_server.storage.sql.backup import copy_database
from webhooks_server.storage.sql.config import SqliteConfig
from webhooks_server.storage.sql.connection import memory_engine, reader_engine, start_errors
from webhooks_server.storage.sql.lock import hold_lock
from webhooks_server.storage.sql.start import check_schema, check_whole, prepare_database


def migrate_sqlite(data_dir: Path) -> None:
    """Bring a database to the newest schema, and make it where there is none.

    Raises StartError as open_sqlite() does.
    """
    with hold_lock(data_dir), memory_engine().connect() as connection:
        prepare_database(SqliteConfig(data_dir=data_dir), _database_time(connection))


def backup_sqlite(data_dir: Path) -> Backup:
    """Copy a database into `backups` of its data directory; raises StartError."""
    config = SqliteConfig(data_dir=data_dir)
    with _opened(config) as connection:
        return copy_database(connection, config.backups, _database_time(connection))


def audit_sqlite(data_dir: Path, tenant: TenantId | None = None) -> AuditReport:
    """Count everything in a database, or what one tenant has; raises StartError."""
    config = SqliteConfig(data_dir=data_dir, migrate=False)
    with _opened(config) as connection:
        check_schema(connection, config)
        return count_everything(connection, tenant)


@contextmanager
def _opened(config: SqliteConfig) -> Iterator[Connection]:
    database = config.database
    # Before the lock, which would make the directory.
    if not database.exists():
        raise DatabaseDamaged(f"there is no database in {config.data_dir}")
    with (
        hold_lock(config.data_dir),
        start_errors(database),
        reader_engine(database).connect() as connection,
    ):
        check_whole(connection, database)
        yield connection


def _database_time(connection: Connection) -> Instant:
    # A command has no clock of its own. Days since noon in November 4714 before Christ.
    days = "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
    return Instant(connection.exec_driver_sql(days).scalar_one())
