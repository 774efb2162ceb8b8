"""What is looked at, made or migrated before a database is used; nothing is written in vain."""

from sqlalchemy import Connection, insert

from webhooks_server.domain.errors import SchemaMismatch, StartError
from webhooks_server.storage.postgres.config import CONNECTIONS, OLDEST_VERSION, PostgresConfig
from webhooks_server.storage.postgres.connection import SETTINGS, driver_of
from webhooks_server.storage.postgres.link import Link
from webhooks_server.storage.postgres.numbers import database_now
from webhooks_server.storage.postgres.place import place_of, start_errors
from webhooks_server.storage.sql.migrating import upgrade
from webhooks_server.storage.sql.schema import REVISIONS, alembic_version, metadata
from webhooks_server.storage.sql.seed import insert_first_rows

_LOCK = 0x_77_68_73_6D
"""The advisory lock of whoever makes or migrates the schema: "whsm"."""
_PATIENT = (
    "SET lock_timeout = 0",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
)
_SERVER = """
SELECT pg_backend_pid(), current_setting('server_version_num')::int / 10000,
  current_setting('server_version'), pg_is_in_recovery(), current_setting('synchronous_commit'),
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  current_setting('lock_timeout')
"""
_WITHOUT_RIGHTS = """
SELECT relname FROM pg_class
WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
  AND NOT CASE relkind
    WHEN 'S' THEN has_sequence_privilege(oid, 'USAGE')
    ELSE has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    END
ORDER BY relname LIMIT 1
"""
_IS_NEW = "SELECT to_regclass('alembic_version') IS NULL"
_MISSING = """
SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL ORDER BY name LIMIT 1
"""
_SCHEMA_NAMES = [*metadata.tables, "event_numbers", "delivery_numbers", "engine_numbers"]
_WRITTEN_NAMES = [name for name in _SCHEMA_NAMES if name != alembic_version.name]


async def prepare_database(config: PostgresConfig) -> None:
    """See that the database can be used, and make or migrate its schema where that is allowed.

    Raises StartError, and SchemaMismatch where the schema is not this version's.
    """
    place = place_of(config)
    session = Link(config, "session")
    try:
        with start_errors(place):
            await session.run(lambda connection: _check_server(connection, place))
            if await session.run(lambda connection: _is_outdated(connection, config, place)):
                await session.run(_bring_up_to_date)
            await session.run(lambda connection: _check_complete(connection, place))
    finally:
        await session.close()


def _check_server(connection: Connection, place: str) -> None:
    with connection.begin():
        pid, major, version, is_standby, commit, slots, lock_timeout = connection.exec_driver_sql(
            _SERVER
        ).one()
    if pid != driver_of(connection).get_server_pid() or lock_timeout != SETTINGS["lock_timeout"]:
        raise StartError(f"{place} is reached through a pooler; give the server's own address")
    if major < OLDEST_VERSION:
        raise StartError(f"{place} is PostgreSQL {version}; {OLDEST_VERSION} or newer is needed")
    if is_standby:
        raise StartError(f"{place} is a standby; give the address of the primary")
    if commit == "off":
        raise StartError(
            f"{place} answers a commit before it is on disk (synchronous_commit is off)"
        )
    if slots < CONNECTIONS:
        raise StartError(
            f"{place} allows {slots} connections, and each process needs {CONNECTIONS}"
            " (max_connections)"
        )


def _is_outdated(connection: Connection, config: PostgresConfig, place: str) -> bool:
    """Tell whether the schema has to be made or migrated; SchemaMismatch where it may not be."""
    with connection.begin():
        revision = _revision(connection, place)
    if revision == REVISIONS[-1]:
        return False
    if revision is not None and revision not in REVISIONS:
        raise SchemaMismatch(
            f"{place} has schema {revision}, which is newer than this version of webhooks-server"
            f" knows ({REVISIONS[-1]}); start the newer version"
        )
    if not config.migrate:
        what = "no schema yet" if revision is None else "an older schema"
        raise SchemaMismatch(f"{place} has {what}; run `webhooks-server migrate` first")
    return True


def _revision(connection: Connection, place: str) -> str | None:
    """Return the revision; None where there is no table of ours."""
    table = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one()
    if table is None:
        return None
    revisions = connection.execute(alembic_version.select()).scalars().all()
    if len(revisions) > 1:
        raise SchemaMismatch(f"{place} names {len(revisions)} revisions of its schema, not one")
    return revisions[0] if revisions else None


def _bring_up_to_date(connection: Connection) -> None:
    """Make or migrate the schema, while no other process does; the lock ends with the session."""
    with connection.begin():
        for setting in _PATIENT:
            connection.exec_driver_sql(setting)
        connection.exec_driver_sql("SELECT pg_advisory_lock($1)", (_LOCK,))
    # In another transaction: this one knows only what was there when it began to wait.
    with connection.begin():
        is_new = connection.exec_driver_sql(_IS_NEW).scalar_one()
        now = database_now(connection)
    if not is_new:
        upgrade(connection, now)
        return
    with connection.begin():
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(alembic_version).values(version_num=REVISIONS[-1]))
        insert_first_rows(connection, now)


def _check_complete(connection: Connection, place: str) -> None:
    with connection.begin():
        missing = connection.exec_driver_sql(_MISSING, (_SCHEMA_NAMES,)).scalar()
        forbidden = connection.exec_driver_sql(_WITHOUT_RIGHTS, (_WRITTEN_NAMES,)).scalar()
    if missing:
        raise SchemaMismatch(f"{place} is damaged: it lacks {missing}; restore a backup")
    if forbidden:
        raise StartError(f"{place}: the user may not read and write {forbidden}")
