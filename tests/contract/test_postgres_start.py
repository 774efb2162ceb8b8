"""What is refused before a PostgreSQL database is used: one clear line, and nothing written."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.shelf import Shelf, StandingClock
from tests.harness.world import Faults
from webhooks_server.domain.errors import SchemaMismatch, StartError
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.secrets import Secret
from webhooks_server.ops import SystemClock
from webhooks_server.storage.postgres import PostgresConfig, connection, open_postgres, start
from webhooks_server.storage.sql.schema import REVISIONS

TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
SCHEMA = """
SELECT table_name, column_name, data_type, column_default, is_nullable, ordinal_position
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL, 0 FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL SELECT relname, relkind::text, reloptions::text, NULL, NULL, 0 FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL, 0
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
ORDER BY 1, 2, 3, 6
"""


async def begin(database: PostgresDatabase, *, migrate: bool = True, url: str = "") -> None:
    """Open and close."""
    config = PostgresConfig(url=Secret(url or database.url), migrate=migrate)
    async with open_postgres(config, MatchIndex(), SystemClock(), Faults()):
        pass


def with_user(database: PostgresDatabase, user: str) -> str:
    place = urlsplit(database.url)
    return place._replace(netloc=f"{user}:secret@{place.netloc.rpartition('@')[2]}").geturl()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", r"127.0.0.1:1/x cannot be reached: .*refused"),
        ("postgresql://me:secret@127.0.0.1:port/x", "the database URL is not one of PostgreSQL"),
        ("postgresql://me:secret@[::1/x", "the database URL is not one of PostgreSQL"),
        ("postgresql://me:secret@missing.invalid/x", "missing.invalid/x cannot be reached"),
    ],
)
async def test_an_url_that_leads_nowhere(
    database: PostgresDatabase, url: str, message: str
) -> None:
    with pytest.raises(StartError, match=message) as raised:
        await begin(database, url=url)
    assert "secret" not in raised.value.message
    assert "\n" not in raised.value.message


async def test_a_database_that_does_not_exist(database: PostgresDatabase) -> None:
    url = urlsplit(database.url)._replace(path="/missing").geturl()
    with pytest.raises(StartError, match="missing cannot be used: there is no such database"):
        await begin(database, url=url)


async def test_an_unknown_user(database: PostgresDatabase) -> None:
    with pytest.raises(StartError, match="does not let this user in"):
        await begin(database, url=with_user(database, "nobody_known"))


async def test_a_user_without_rights(owned_database: PostgresDatabase) -> None:
    database = owned_database
    name = database.administrator.value("SELECT 'reader_' || current_database()")
    database.administrator.execute(f"CREATE ROLE {name} LOGIN")
    try:
        with pytest.raises(StartError, match="the user lacks the right to do that"):
            await begin(database, url=with_user(database, name))
        assert database.administrator.value(TABLES) == 0
        await begin(database)
        database.administrator.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        with pytest.raises(StartError, match="may not read and write attempts"):
            await begin(database, url=with_user(database, name))
    finally:
        database.administrator.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_version_that_is_too_old(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "OLDEST_VERSION", 99)
    with pytest.raises(StartError, match=r"is PostgreSQL \d+\.\d.*; 99 or newer is needed"):
        await begin(database)
    assert database.administrator.value(TABLES) == 0


async def test_too_few_connections(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "CONNECTIONS", 10_000)
    with pytest.raises(StartError, match="each process needs 10000"):
        await begin(database)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("synchronous_commit=off", "before it is on disk"),
        ("lock_timeout=7s", "reached through a pooler"),
    ],
)
async def test_settings_that_break_a_promise(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, setting: str, message: str
) -> None:
    name, value = setting.split("=")
    monkeypatch.setitem(connection.SETTINGS, name, value)
    monkeypatch.setattr(start, "SETTINGS", {"lock_timeout": "1s"})
    with pytest.raises(StartError, match=message):
        await begin(database)
    assert database.administrator.value(TABLES) == 0


async def test_a_pooler_that_answers_with_another_server(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EB3: it hands out a process number of its own."""
    monkeypatch.setattr(connection.NamedConnection, "get_server_pid", lambda _: 1)
    with pytest.raises(StartError, match="reached through a pooler; give the server's own address"):
        await begin(database)


async def test_a_schema_that_is_missing_newer_or_damaged(database: PostgresDatabase) -> None:
    with pytest.raises(SchemaMismatch, match="no schema yet; run `webhooks-server migrate` first"):
        await begin(database, migrate=False)
    assert database.administrator.value(TABLES) == 0
    await begin(database)
    await begin(database, migrate=False)
    database.administrator.execute("DROP TABLE fanouts")
    with pytest.raises(SchemaMismatch, match="is damaged: it lacks fanouts"):
        await begin(database)
    database.administrator.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="has schema 9999, which is newer"):
        await begin(database)


async def test_many_processes_make_the_schema_once(database: PostgresDatabase) -> None:
    await asyncio.gather(*(begin(database) for _ in range(4)))
    assert database.administrator.value("SELECT count(*) FROM control") == 1
    assert database.administrator.value("SELECT count(*) FROM partitions") == 256


async def test_the_schema_equals_all_migrations(database: PostgresDatabase) -> None:
    await begin(database)
    made = database.administrator.rows(SCHEMA)
    assert len(made) > 100
    database.administrator.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    database.administrator.execute(
        "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    await begin(database)
    assert database.administrator.rows(SCHEMA) == made
    assert database.administrator.value("SELECT version_num FROM alembic_version") == REVISIONS[-1]
    async with open_postgres(database.config(), MatchIndex(), SystemClock(), Faults()) as stores:
        shelf = Shelf(stores, StandingClock(), MatchIndex())
        await shelf.own()
        await shelf.publish("e1")
        assert len(shelf.epochs) == 256
        assert len(await stores.control.server_key()) == 32
