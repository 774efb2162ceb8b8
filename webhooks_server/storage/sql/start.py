"""What is looked at, made or migrated before a database is used (reliability.md, S8)."""

from pathlib import Path

from sqlalchemy import Connection, insert, select, text

from webhooks_server.domain.errors import DatabaseDamaged, SchemaMismatch
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.config import LARGEST_QUICK_CHECK, SqliteConfig
from webhooks_server.storage.sql.connection import (
    reader_engine,
    run_pragma,
    start_errors,
    writer_engine,
)
from webhooks_server.storage.sql.files import sync_directory
from webhooks_server.storage.sql.migrating import upgrade
from webhooks_server.storage.sql.schema import REVISIONS, alembic_version, metadata
from webhooks_server.storage.sql.seed import insert_first_rows


def prepare_database(config: SqliteConfig, now: Instant) -> None:
    """Make the database where there is none, or see that it is whole and of this schema.

    Raises DatabaseDamaged and SchemaMismatch. What looks damaged is never made anew.
    """
    database = config.database
    if not database.exists():
        _check_nothing_left(database)
        _build(database, now)
        return
    if database.stat().st_size == 0:
        raise DatabaseDamaged(f"{database} is empty; restore a backup, or remove it to start anew")
    # A connection that cannot write, as long as it is not known whose file this is.
    with start_errors(database), reader_engine(database).connect() as connection:
        check_whole(connection, database)
        is_newest = check_schema(connection, config)
    if not is_newest:
        with writer_engine(database).connect() as connection:
            upgrade(connection, now)


def check_whole(connection: Connection, database: Path) -> None:
    """Raise DatabaseDamaged where SQLite finds a fault; large files are taken on trust."""
    if database.stat().st_size > LARGEST_QUICK_CHECK:
        return
    problem = run_pragma(connection, "quick_check(1)")
    if problem != "ok":
        raise DatabaseDamaged(f"{database} is damaged ({problem}); restore a backup")


def check_schema(connection: Connection, config: SqliteConfig) -> bool:
    """Tell whether the schema is the newest; raises SchemaMismatch where it cannot become that."""
    revision = _revision(connection, config.database)
    if revision == REVISIONS[-1]:
        return True
    if revision is not None and revision not in REVISIONS:
        raise SchemaMismatch(
            f"{config.database} has schema {revision}, which is newer than this version of"
            f" webhooks-server knows ({REVISIONS[-1]}); start the newer version"
        )
    if not config.migrate:
        raise SchemaMismatch(
            f"{config.database} has an older schema; run `webhooks-server migrate` first"
        )
    return False


def _revision(connection: Connection, database: Path) -> str | None:
    tables = select(text("name")).select_from(text("sqlite_master"))
    if alembic_version.name not in connection.execute(tables).scalars().all():
        raise DatabaseDamaged(f"{database} is not a database of webhooks-server")
    revision = connection.execute(select(alembic_version.c.version_num)).scalar_one_or_none()
    connection.rollback()
    return revision


def _check_nothing_left(database: Path) -> None:
    log = database.with_name(f"{database.name}-wal")
    if log.exists():
        raise DatabaseDamaged(
            f"{database} is missing, but its log {log.name} is there; restore a backup"
        )


def _build(database: Path, now: Instant) -> None:
    """Make a database under another name, and give it its own once it is complete."""
    unfinished = database.with_name(f"{database.name}.new")
    for tail in ("", "-wal", "-shm"):
        Path(f"{unfinished}{tail}").unlink(missing_ok=True)
    # It holds secrets, and SQLite would let everybody read it.
    unfinished.touch(mode=0o600)
    with writer_engine(unfinished).begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(alembic_version).values(version_num=REVISIONS[-1]))
        insert_first_rows(connection, now)
    # The connection is closed, and it was the last one: the log is gone and the file whole.
    unfinished.rename(database)
    sync_directory(database.parent)
