"""The commands on PostgreSQL: serve, migrate, audit, config, and what they refuse."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.command_line import listening, run, serving
from tests.harness.postgres_database import PostgresDatabase

pytestmark = pytest.mark.long


async def test_a_server_on_postgresql_delivers_and_is_audited(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    where = ("--database-url", database.url)
    async with serving(tmp_path / "data", *where) as server, listening() as (url, receiver):
        at = ("--server", server.address)
        await run("subscribe", url, "invoice.*", "--secret", "whsec_" + "a" * 32, *at)
        published = await run("publish", "invoice.paid", '{"amount": 12}', *at)
        assert published.status == 0, published.err
        assert receiver.stdout is not None
        async for line in receiver.stdout:
            if b"invoice.paid" in line:
                break
        served = await run("audit", *at)
        refused = await run("backup", *at)
    counted = await run("audit", *where)

    assert served.status == 0
    assert re.search(r"violations +0\n", counted.out)
    assert re.search(r"succeeded +[12]\n", counted.out)
    assert (refused.status, "pg_dump" in refused.err) == (1, True)
    assert not (tmp_path / "data").exists()


async def test_migrate_makes_the_schema_that_serve_waits_for(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    where = ("--database-url", database.url)
    refused = await run("serve", "--listen", "127.0.0.1:0", "--no-migrate", *where)
    assert refused.status == 1
    assert "has no schema yet; run `webhooks-server migrate` first" in refused.err
    assert refused.err.count("\n") == 1
    migrated = await run("migrate", *where)
    assert (migrated.status, migrated.err) == (0, "")
    async with serving(tmp_path / "data", "--no-migrate", *where):
        pass


async def test_the_url_is_a_secret(tmp_path: Path) -> None:
    url = "postgresql://someone:hidden@127.0.0.1:1/x"
    variables = {"WEBHOOKS_DATABASE_URL": url}
    for command in (("config",), ("serve", "--listen", "127.0.0.1:0"), ("migrate",)):
        finished = await run(*command, variables=variables)
        assert "hidden" not in finished.out + finished.err
        assert "someone" not in finished.out + finished.err
    wrong = await run("migrate", "--database-url", "mysql://someone:hidden@127.0.0.1/x")
    assert (wrong.status, wrong.err) == (
        2,
        "webhooks-server: WEBHOOKS_DATABASE_URL must begin with postgresql://\n",
    )
    both = await run("migrate", "--data-dir", str(tmp_path), "--database-url", url)
    assert both.status == 2


TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


@pytest.mark.parametrize("command", [("serve", "--listen", "127.0.0.1:0"), ("relay",)])
async def test_whoever_cannot_use_the_database_says_so_in_one_line(
    owned_database: PostgresDatabase, command: tuple[str, ...]
) -> None:
    """Missing rights, a newer schema, no such database: exit code 1, and nothing written."""
    administrator, url = owned_database.administrator, urlsplit(owned_database.url)
    role = administrator.value("SELECT 'stranger_' || current_database()")
    administrator.execute(f"CREATE ROLE {role} LOGIN")
    stranger = url._replace(netloc=f"{role}@{url.netloc.rpartition('@')[2]}").geturl()

    async def refused(where: str) -> str:
        finished = await run(*command, "--database-url", where)
        assert (finished.status, finished.out, finished.err.count("\n")) == (1, "", 1), finished
        return finished.err

    try:
        assert "the user lacks the right to do that" in await refused(stranger)
        assert administrator.value(TABLES) == 0
        await run("migrate", "--database-url", url.geturl())
        administrator.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "has schema 9999, which is newer" in await refused(url.geturl())
        assert administrator.value("SELECT version_num FROM alembic_version") == "9999"
        assert administrator.value("SELECT count(*) FROM engines") == 0
        missing = url._replace(path="/missing").geturl()
        assert "missing" in await refused(missing)
    finally:
        administrator.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
