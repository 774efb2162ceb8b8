"""What is looked at, made or migrated before a database is used (reliability.md, S8)."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from webhooks_server.domain.errors import DatabaseDamaged, SchemaMismatch, StartError
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.subscription import PARTITIONS
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
from webhooks_server.storage.sql.schema import (
    REVISIONS,
    alembic_version,
    control,
    metadata,
    partitions,
    server_keys,
    tenants,
)
from webhooks_server.storage.sql.seed import PAGE_KEY, insert_first_rows

# Without them nothing would be sent, or no page token read, and no error would tell.
_FIRST_ROWS = {
    "control": (select(func.count()).select_from(control), 1),
    "partitions": (
        select(func.count()).where(partitions.c.id.between(0, PARTITIONS - 1)),
        PARTITIONS,
    ),
    "server_keys": (select(func.count()).where(server_keys.c.name == PAGE_KEY), 1),
    "tenants": (select(func.count()).where(tenants.c.id == DEFAULT_TENANT), 1),
}


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
        _migrate(database, now)


def _migrate(database: Path, now: Instant) -> None:
    try:
        with writer_engine(database).connect() as connection:
            upgrade(connection, now)
    except DBAPIError as error:
        raise StartError(
            f"{database} could not be brought to this version's schema, and is as it was"
        ) from error


def check_whole(connection: Connection, database: Path) -> None:
    """Raise DatabaseDamaged where SQLite finds a fault; large files are taken on trust."""
    if database.stat().st_size > LARGEST_QUICK_CHECK:
        return
    problem = run_pragma(connection, "quick_check(1)")
    if problem != "ok":
        raise DatabaseDamaged(f"{database} is damaged ({problem}); restore a backup")


def check_schema(connection: Connection, config: SqliteConfig) -> bool:
    """Tell whether the schema is the newest.

    Raises SchemaMismatch where it cannot become that, DatabaseDamaged where it is not what it says.
    """
    columns = _columns(connection)
    revision = _revision(connection, columns, config.database)
    if revision == REVISIONS[-1]:
        _check_complete(connection, columns, config.database)
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


def _columns(connection: Connection) -> Mapping[str, set[str]]:
    """Return the names of all columns by table."""
    found: dict[str, set[str]] = {}
    query = text(
        "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c"
        " WHERE t.type = 'table'"
    )
    for table, column in connection.execute(query):
        found.setdefault(table, set()).add(column)
    connection.rollback()
    return found


def _revision(
    connection: Connection, columns: Mapping[str, set[str]], database: Path
) -> str | None:
    """Return the revision; None before the first migration, when there is no other table yet."""
    if alembic_version.name not in columns:
        raise DatabaseDamaged(f"{database} is not a database of webhooks-server")
    revisions = connection.execute(select(alembic_version.c.version_num)).scalars().all()
    connection.rollback()
    if len(revisions) > 1 or (not revisions and len(columns) > 1):
        raise DatabaseDamaged(
            f"{database} is damaged: it names {len(revisions)} revisions of its schema, not one;"
            " restore a backup"
        )
    return revisions[0] if revisions else None


def _check_complete(
    connection: Connection, columns: Mapping[str, set[str]], database: Path
) -> None:
    for table in metadata.sorted_tables:
        missing = {column.name for column in table.columns} - columns.get(table.name, set())
        if missing:
            raise DatabaseDamaged(
                f"{database} is damaged: the table {table.name} lacks"
                f" {', '.join(sorted(missing))}; restore a backup"
            )
    for name, (query, wanted) in _FIRST_ROWS.items():
        rows = connection.execute(query).scalar_one()
        if rows != wanted:
            raise DatabaseDamaged(
                f"{database} is damaged: {name} has {rows} rows, not {wanted}; restore a backup"
            )
    connection.rollback()


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
