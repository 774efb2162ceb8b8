"""A database for the tests whose clock stands still, and an administrator's hand in it."""

import asyncio
import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.harness.postgres_server import FOLDERS, running_server
from tests.harness.shelf import StandingClock
from webhooks_server.domain.secrets import Secret
from webhooks_server.storage.postgres import PostgresConfig, migrate_postgres

Result = TypeVar("Result")

GIVEN_SERVER = os.environ.get("TEST_POSTGRES_DSN", "")
NEWEST = max(FOLDERS)
STORAGES = ["postgres"] if GIVEN_SERVER else [f"postgres-{version}" for version in FOLDERS]
# The newest is tested each time, the older ones where all is.
PARAMETERS = [*(pytest.param(one, marks=pytest.mark.long) for one in STORAGES[:-1]), STORAGES[-1]]
"""The names of the PostgreSQL storages that the contract suite runs over."""

# Found before the one of PostgreSQL itself, because pg_catalog comes last in the search path.
_STANDING_CLOCK = """
CREATE SCHEMA standing;
CREATE TABLE standing.moment (microseconds bigint NOT NULL);
INSERT INTO standing.moment VALUES (0);
CREATE FUNCTION standing.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT 'epoch'::timestamptz + microseconds * interval '1 microsecond' FROM standing.moment
$$;
"""
_STANDING_PATH = "search_path=standing,public,pg_catalog"
_EMPTY = """
DELETE FROM attempts; DELETE FROM deliveries; DELETE FROM events; DELETE FROM fanouts;
DELETE FROM subscription_patterns; DELETE FROM subscriptions; DELETE FROM request_ids;
DELETE FROM event_purges; DELETE FROM failures; DELETE FROM engines;
DELETE FROM relay_pauses;
UPDATE control SET version = 0; UPDATE partitions SET owner = '', epoch = 0 WHERE epoch > 0;
"""
_KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'webhooks-server ' || $1
"""
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


class Administrator:
    """One connection that tests use without awaiting it, and beside the stores under test."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._url = url
        self._connection: asyncpg.Connection = self.run(asyncpg.connect(url))

    def execute(self, statements: str, *arguments: object) -> str:
        return self.run(self._connection.execute(statements, *arguments))

    def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever is asked for
        return self.run(self._connection.fetchval(query, *arguments))

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.run(self._connection.fetch(query, *arguments))]

    def copy(self, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        copying = self._connection.copy_records_to_table(table, records=rows, columns=columns)
        self.run(copying)

    def reopen(self) -> None:
        """Connect anew, to a server that was restarted."""
        self._connection.terminate()
        self._connection = self.run(asyncpg.connect(self._url))

    def close(self) -> None:
        self.run(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@dataclass
class DatabaseClock(StandingClock):
    """A clock that the database goes by too."""

    administrator: Administrator = field(kw_only=True)

    def __post_init__(self) -> None:
        self.advance(0)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.administrator.execute("UPDATE standing.moment SET microseconds = $1", self.now)


@dataclass(frozen=True)
class PostgresDatabase:
    """A database of the tests."""

    url: str
    administrator: Administrator
    maker: Administrator
    """Connected to another database of the same server."""

    @property
    def is_superuser(self) -> bool:
        """Whether roles, statistics and the whole server can be changed."""
        return bool(self.administrator.value(_IS_SUPERUSER))

    def kill(self, name: str) -> int:
        """End the connections of this name; returns how many there were."""
        killed: int = self.administrator.value(_KILL, name)
        return killed

    def config(self, *, migrate: bool = True) -> PostgresConfig:
        return PostgresConfig(url=Secret(self.url), migrate=migrate)

    def copy_subscriptions(self, file: Path) -> None:
        """Take over the subscriptions of a SQLite file: the tables are the same."""
        with contextlib.closing(sqlite3.connect(file)) as source:
            for table in ("subscriptions", "subscription_patterns"):
                rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608
                columns = [column[0] for column in rows.description]
                self.administrator.copy(table, columns, rows.fetchall())
            (version,) = source.execute("SELECT version FROM control").fetchone()
        self.administrator.execute("UPDATE control SET version = $1", version)

    def standing_clock(self) -> DatabaseClock:
        """Empty all tables of the stores, and stop the database's clock."""
        self.administrator.execute(_EMPTY)
        return DatabaseClock(administrator=self.administrator)


@contextlib.contextmanager
def new_database(server_url: str, *, standing: bool = False) -> Iterator[PostgresDatabase]:
    """Make a database on a server, and drop it at the end."""
    name = f"webhooks_{secrets.token_hex(4)}"
    maker = Administrator(server_url)
    maker.execute(f"CREATE DATABASE {name}")
    url = urlsplit(server_url)._replace(path=f"/{name}", query=_STANDING_PATH if standing else "")
    administrator = Administrator(url.geturl())
    if standing:
        administrator.execute(_STANDING_CLOCK)
        administrator.run(migrate_postgres(PostgresConfig(url=Secret(url.geturl()))))
    try:
        yield PostgresDatabase(url.geturl(), administrator, maker)
    finally:
        administrator.close()
        maker.execute(f"DROP DATABASE {name} WITH (FORCE)")
        maker.close()


@contextlib.contextmanager
def server_url_of(storage: str) -> Iterator[str]:
    """Run the server of a storage that is named in STORAGES."""
    if GIVEN_SERVER:
        yield GIVEN_SERVER
        return
    with running_server(int(storage.removeprefix("postgres-"))) as server:
        yield server.url()
