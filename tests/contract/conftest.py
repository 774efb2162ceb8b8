"""One suite over every storage: what a test asks of `shelf`, all of them must do."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.shelf import Shelf, StandingClock
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.memory import open_memory
from webhooks_server.storage.sql import SqliteConfig, open_sqlite


@pytest.fixture(params=["memory", "sqlite"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """The stores of each storage in turn, audited when the test is over."""
    clock, index = StandingClock(), MatchIndex()
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            stores = await stack.enter_async_context(open_memory(index, clock))
        else:
            config = SqliteConfig(data_dir=tmp_path / "data")
            opened = await stack.enter_async_context(open_sqlite(config, index, clock))
            stores = opened.stores
        made = Shelf(stores, clock, index)
        yield made
        await made.audited()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Shelf]:
    """The SQLite storage alone, for what the others have no counterpart of."""
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=tmp_path / "data"), index, clock) as opened:
        yield Shelf(opened.stores, clock, index)
