"""A PostgreSQL server that is restarted (S1), or ends connections (S2), under load."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.books import Postgres
from tests.faults.processes import Controller, Running, controlling
from tests.faults.publishing import Load
from tests.faults.receiving import Receiver
from tests.faults.run import IS_FULL, Run
from tests.harness.postgres_database import GIVEN_SERVER, NEWEST, PostgresDatabase, new_database
from tests.harness.postgres_server import PostgresServer, running_server
from tests.harness.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600 if IS_FULL else 180),
    pytest.mark.skipif(bool(GIVEN_SERVER), reason="the server must be one of our own"),
]

ENDPOINTS = 5
RATE = 200.0
SINK = 0.02
RESTARTS = 20 if IS_FULL else 3
STORM_SECONDS = 60.0 if IS_FULL else 10.0
BETWEEN_KILLS = 0.1
BACK_WITHIN = 3.0
"""Seconds in which Publish is answered OK once the server lets connections in."""
KILL_ONE = """
SELECT count(pg_terminate_backend(pid)) FROM (
  SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND application_name LIKE 'webhooks-server %'
  ORDER BY random() LIMIT 1
) AS chosen
"""
# What a process says of a database that goes away, and nothing else of it.
EXPECTED = {"database.gone", "engine.loop_failed", "lanes.unreadable"}


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server(NEWEST) as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[PostgresDatabase]:
    with new_database(server.url()) as made:
        yield made


@pytest.fixture
async def controller(tmp_path: Path, database: PostgresDatabase) -> AsyncIterator[Controller]:
    async with controlling(tmp_path, {"WEBHOOKS_DATABASE_URL": database.url}) as opened:
        yield opened


async def prepared(run: Run) -> Running:
    """Start a server that owns everything, and make the subscriptions of a run."""
    await run.receiver.answer(latency=SINK)
    server = await run.controller.serve("server")
    await run.subscribe(server.address, ENDPOINTS)
    owned = run.database.owned  # type: ignore[attr-defined]
    await until(lambda: sum(owned().values()) == 256, 20)
    return server


async def finished(run: Run, server: Running, **facts: object) -> None:
    """See that nothing is lost or sent twice, and that the process said nothing unexpected."""
    await run.settle(server.address)
    violations = await run.violations(server.address)
    await server.stop()
    faults = Counter(json.loads(line)["fact"] for line in run.controller.faults())
    found = run.audit(violations, faults=faults, **facts)
    found.check()
    assert found.duplicates == 0
    assert "never retrieved" not in server.log.read_text()
    assert faults.keys() <= EXPECTED


async def test_a_database_that_is_restarted_loses_nothing(
    tmp_path: Path,
    receiver: Receiver,
    controller: Controller,
    server: PostgresServer,
    database: PostgresDatabase,
) -> None:
    books = Postgres(database)
    run = Run("S1 immediate restart of PostgreSQL", tmp_path, receiver, controller, books)
    serving = await prepared(run)
    load = Load(seed=run.seed, subscriptions=ENDPOINTS, batch=4, rate=RATE)
    back: list[float] = []
    async with run.publishing(load, [serving.address]) as publisher:
        for _ in range(RESTARTS):
            await asyncio.sleep(run.random.uniform(1.0, 2.0))
            await asyncio.to_thread(server.restart)
            begun = time.monotonic()
            await publisher.gets_through()
            back.append(round(time.monotonic() - begun, 2))
    for connection in (database.administrator, database.maker):
        connection.reopen()
    await finished(run, serving, back=back, failed_calls=publisher.failed_calls)
    assert max(back) <= BACK_WITHIN


async def test_connections_that_are_ended_at_random_lose_nothing(
    tmp_path: Path, receiver: Receiver, controller: Controller, database: PostgresDatabase
) -> None:
    books = Postgres(database)
    run = Run("S2 connections ended at random", tmp_path, receiver, controller, books)
    serving = await prepared(run)
    load = Load(seed=run.seed, subscriptions=ENDPOINTS, batch=4, rate=RATE)
    killed = 0
    async with run.publishing(load, [serving.address]) as publisher:
        end = time.monotonic() + STORM_SECONDS
        while time.monotonic() < end:
            killed += await asyncio.to_thread(database.administrator.value, KILL_ONE)
            await asyncio.sleep(BETWEEN_KILLS)
        await publisher.gets_through()
    assert killed > STORM_SECONDS
    await finished(run, serving, killed=killed, failed_calls=publisher.failed_calls)
