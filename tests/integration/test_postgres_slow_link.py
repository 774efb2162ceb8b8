"""A link to PostgreSQL on which each statement takes a second (reliability.md, S4)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.remote import Line, open_line
from tests.harness.requests import publish
from tests.harness.served import Served, open_served
from tests.harness.shelf import event, publish_of
from tests.harness.waiting import until
from webhooks_server.domain.errors import ServerOverloaded
from webhooks_server.domain.secrets import Secret
from webhooks_server.storage.postgres import PostgresConfig
from webhooks_server.storage.sql.backlog import MAX_WAITING

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]

DELAY = 1.0
SECONDS = 10.0
REJECTED_WITHIN = 0.05
MORE = 500
_OWNERS = "SELECT id, owner, epoch FROM partitions WHERE owner <> '' ORDER BY id"


@pytest.fixture
async def line(database: PostgresDatabase) -> AsyncIterator[Line]:
    where = urlsplit(database.url)
    async with open_line(f"{where.hostname}:{where.port}") as opened:
        yield opened


@contextlib.asynccontextmanager
async def behind(
    line: Line, database: PostgresDatabase, directory: Path, engine: str = "engine-1"
) -> AsyncIterator[Served]:
    """Serve with a database that is at the other end of a line."""
    where = urlsplit(database.url)
    through = where._replace(netloc=f"{where.username}@{line.address}").geturl()
    config = PostgresConfig(url=Secret(through))
    async with open_served(directory, database=config, engine=engine) as served:
        yield served
        line.delay = 0.0


async def test_a_slow_link_costs_no_partition(
    database: PostgresDatabase, line: Line, tmp_path: Path
) -> None:
    async with (
        open_served(tmp_path, database=database.config(), engine="quick"),
        behind(line, database, tmp_path, engine="slow") as slow,
    ):

        def owners() -> list[tuple[object, ...]]:
            return database.administrator.rows(_OWNERS)

        def are_shared() -> bool:
            named = [owner for _, owner, _ in owners()]
            return named.count("slow") == named.count("quick") == 128

        # On a new connection a statement is prepared first, which is another matter.
        await slow.publisher.Publish(publish(event_id="e0"))
        await until(are_shared, 40)
        before = owners()
        line.delay = DELAY
        await asyncio.sleep(SECONDS / 2)
        # Begin, insert and commit: a few statements of a second each.
        await slow.publisher.Publish(publish(event_id="e1"), timeout=8)
        await asyncio.sleep(SECONDS / 2)
        assert owners() == before
        assert database.administrator.value("SELECT count(*) FROM events") == 2


async def test_whoever_finds_too_many_waiting_is_told_so_at_once(
    database: PostgresDatabase, line: Line, tmp_path: Path
) -> None:
    async with behind(line, database, tmp_path) as served:
        line.delay = DELAY

        async def append(number: int) -> float | None:
            begun = time.monotonic()
            try:
                await served.stores.events.append(publish_of(event(f"e{number}")))
            except ServerOverloaded:
                return time.monotonic() - begun
            return None

        first = asyncio.ensure_future(append(-1))
        await asyncio.sleep(0.1)
        waiting = [asyncio.ensure_future(append(number)) for number in range(MAX_WAITING)]
        await asyncio.sleep(0.1)
        told = await asyncio.gather(*(append(MAX_WAITING + number) for number in range(MORE)))
        rejected = sorted(one for one in told if one is not None)
        assert len(rejected) >= MORE - 1
        assert rejected[int(len(rejected) * 0.99)] <= REJECTED_WITHIN
        line.delay = 0.0
        answers = await asyncio.gather(first, *waiting)
        stored = database.administrator.value("SELECT count(*) FROM events")
        assert stored == answers.count(None) + told.count(None)
