"""A receiver, and an engine on each storage with the real relay between them."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.postgres_fixtures import database, postgres_url
from tests.harness.receiver import Receiver, open_receiver
from tests.harness.world import Faults, World
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine import EngineConfig
from webhooks_server.ops import SystemClock
from webhooks_server.storage.memory import open_memory
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

__all__ = ["database", "postgres_url", "receiver", "world"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    clock, index, telemetry = SystemClock(), MatchIndex(), Faults()
    config = EngineConfig(engine="engine-1", user_agent="test/1", backstop_interval=0.05)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            stores = await stack.enter_async_context(open_memory(index, clock))
        else:
            opened = await stack.enter_async_context(
                open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock)
            )
            stores = opened.stores
        made = World(stores, index, telemetry, IdSource(clock.wall), clock, config)
        yield made
        assert telemetry.faults == []
        await made.audited()
