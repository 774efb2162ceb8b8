"""Schemas: made, migrated, or refused."""

import sqlite3
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.harness.shelf import Shelf, StandingClock
from tests.harness.sqlite_file import fill, run_sql, start
from webhooks_server.domain.errors import (
    SchemaMismatch,
    StartError,
)
from webhooks_server.domain.ids import Version
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.sql import (
    SqliteConfig,
    migrate_sqlite,
    migrating,
    open_sqlite,
)
from webhooks_server.storage.sql.rows.deliveries import UNCHARGED_COLUMNS
from webhooks_server.storage.sql.schema import REVISIONS


def schema_of(data_dir: Path) -> list[tuple[object, ...]]:
    """Everything about columns and indexes but the order of columns: what is added comes last."""
    connection = sqlite3.connect(data_dir / "webhooks.db")
    columns = connection.execute(
        'SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden'
        " FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c"
        " WHERE t.type = 'table' AND t.name <> 'alembic_version' ORDER BY t.name, c.name"
    ).fetchall()
    indexes = connection.execute(
        'SELECT t.name, i.name, i."unique", i.origin, i.partial, c.seqno, c.name, c."desc"'
        " FROM sqlite_master AS t, pragma_index_list(t.name) AS i, pragma_index_xinfo(i.name) AS c"
        " WHERE t.type = 'table' AND t.name <> 'alembic_version'"
        " ORDER BY t.name, i.name, c.seqno"
    ).fetchall()
    others = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' ORDER BY name"
    ).fetchall()
    connection.close()
    return [*columns, *indexes, *others]


def make_older(data_dir: Path) -> None:
    """Make a database that has no revision yet."""
    data_dir.mkdir(exist_ok=True)
    run_sql(
        data_dir,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
    )


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    await start(tmp_path)
    run_sql(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="has schema 9999, which is newer"):
        await start(tmp_path)
    with pytest.raises(SchemaMismatch):
        migrate_sqlite(tmp_path)


async def test_an_older_schema_is_migrated_only_where_that_is_allowed(tmp_path: Path) -> None:
    make_older(tmp_path)
    with pytest.raises(SchemaMismatch, match="run `webhooks-server migrate` first"):
        await start(tmp_path, migrate=False)
    await fill(tmp_path)
    await start(tmp_path, migrate=False)


async def test_the_schema_equals_all_migrations(tmp_path: Path) -> None:
    await start(tmp_path / "new")
    make_older(tmp_path / "migrated")
    await start(tmp_path / "migrated")
    assert schema_of(tmp_path / "new") == schema_of(tmp_path / "migrated")
    assert len(schema_of(tmp_path / "new")) > 100


async def test_migrations_bring_the_rows_that_a_new_database_has(tmp_path: Path) -> None:
    make_older(tmp_path)
    await start(tmp_path)
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), MatchIndex(), StandingClock()) as one:
        made = Shelf(one.stores, StandingClock(), MatchIndex())
        await made.own()
        assert len(made.epochs) == 256
        assert len(await one.stores.control.server_key()) == 32
        await made.publish("e1")
        await made.audited()


def test_every_migration_is_a_known_revision() -> None:
    config = Config()
    folder = Path(migrating.__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in reversed(list(scripts))) == REVISIONS


async def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    make_older(tmp_path)
    run_sql(tmp_path, "CREATE VIEW attempts AS SELECT 1 AS in_the_way")
    before = schema_of(tmp_path)
    with pytest.raises(StartError, match="is as it was"):
        await start(tmp_path)
    assert schema_of(tmp_path) == before


async def test_subscriptions_of_the_first_schema_have_no_limit_and_do_not_fail(
    tmp_path: Path,
) -> None:
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), MatchIndex(), StandingClock()) as one:
        made = await Shelf(one.stores, StandingClock(), MatchIndex()).subscribe("old")
    for column in ("max_requests_per_minute", "failing", "breaker_time"):
        run_sql(tmp_path, f"ALTER TABLE subscriptions DROP COLUMN {column}")
    for column in UNCHARGED_COLUMNS:
        run_sql(tmp_path, f"ALTER TABLE deliveries DROP COLUMN {column}")
    for table in ("event_purges", "failures", "engines"):
        run_sql(tmp_path, f"DROP TABLE {table}")
    run_sql(tmp_path, "UPDATE alembic_version SET version_num = '0001'")
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), MatchIndex(), StandingClock()) as one:
        assert await one.stores.subscriptions.get(made.tenant, made.id) == made
        (entry,) = (await one.stores.subscriptions.changes(Version(0))).entries
    assert (entry.max_requests_per_minute, entry.failing) == (0, 0)
