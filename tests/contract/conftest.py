"""One suite over every storage: what a test asks of `shelf`, all of them must do."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.postgres_database import PARAMETERS, PostgresDatabase
from tests.harness.postgres_fixtures import (
    Databases,
    database,
    owned_database,
    postgres_url,
    standing_database,
)
from tests.harness.shelf import Shelf, StandingClock
from tests.harness.world import Faults
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ops import SystemClock
from webhooks_server.storage.memory import open_memory
from webhooks_server.storage.postgres import open_postgres
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

__all__ = [
    "database",
    "owned_database",
    "postgres_url",
    "shelf",
    "sqlite",
    "standing_database",
]


@pytest.fixture(params=["memory", "sqlite", *PARAMETERS])
async def shelf(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    standing_database: Databases,
) -> AsyncIterator[Shelf]:
    """The stores of each storage in turn, audited when the test is over."""
    clock, index = StandingClock(), MatchIndex()
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            stores = await stack.enter_async_context(open_memory(index, clock))
        elif request.param == "sqlite":
            config = SqliteConfig(data_dir=tmp_path / "data")
            opened = await stack.enter_async_context(open_sqlite(config, index, clock))
            stores = opened.stores
        else:
            database = standing_database(request.param)
            clock = database.standing_clock()
            stores = await stack.enter_async_context(
                open_postgres(database.config(), index, clock, Faults())
            )
        made = Shelf(stores, clock, index)
        yield made
        await made.audited()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Shelf]:
    """The SQLite storage alone, for what the others have no counterpart of."""
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=tmp_path / "data"), index, clock) as opened:
        yield Shelf(opened.stores, clock, index)


@pytest.fixture
async def postgres(database: PostgresDatabase) -> AsyncIterator[Shelf]:
    """The PostgreSQL storage alone, for what the others have no counterpart of."""
    index = MatchIndex()
    async with open_postgres(database.config(), index, SystemClock(), Faults()) as stores:
        yield Shelf(stores, StandingClock(), index)
