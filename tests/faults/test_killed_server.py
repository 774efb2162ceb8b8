"""A server on SQLite that is killed (G1), or told to stop (G7), again and again under load."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.books import Sqlite
from tests.faults.processes import Controller, Running, controlling
from tests.faults.publishing import Load
from tests.faults.receiving import Receiver
from tests.faults.run import IS_FULL, Run
from tests.harness.command_line import free_port

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800 if IS_FULL else 300)]

ENDPOINTS = 3
SLOTS = 16
RATE = 500.0
SINK = 0.005
KILLS = 200 if IS_FULL else 30
STOPS = 50 if IS_FULL else 20
LONGEST_DRAIN = 1.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def controller(tmp_path: Path, data: Path) -> AsyncIterator[Controller]:
    settings = {"WEBHOOKS_DATA_DIR": str(data), "WEBHOOKS_SLOTS": str(SLOTS)}
    async with controlling(tmp_path, settings) as opened:
        yield opened


async def prepared(run: Run, listen: str) -> Running:
    """Start the first server of a run, and make its subscriptions."""
    await run.receiver.answer(latency=SINK)
    server = await run.controller.serve("server", listen=listen)
    await run.subscribe(server.address, ENDPOINTS, in_flight=SLOTS)
    return server


def load(run: Run) -> Load:
    return Load(seed=run.seed, subscriptions=ENDPOINTS, batch=9, rate=RATE)


async def test_a_server_that_is_killed_loses_nothing(
    tmp_path: Path, data: Path, receiver: Receiver, controller: Controller
) -> None:
    database = Sqlite(data)
    run = Run("G1 kill -9 on SQLite", tmp_path, receiver, controller, database)
    listen = f"127.0.0.1:{free_port()}"
    server = await prepared(run, listen)
    async with run.publishing(load(run), [listen]) as publisher:
        for _ in range(KILLS):
            # Half of them before the publisher's connection is there again, most likely.
            if run.random.random() < 0.5:
                await publisher.gets_through()
            await asyncio.sleep(run.random.uniform(0.3, 2.0))
            await run.kill(server)
            await asyncio.to_thread(database.check_integrity)
            server = await controller.serve("server", listen=listen)
    await run.settle(listen)
    violations = await run.violations(listen)
    await server.stop()
    found = run.audit(violations)
    found.check()
    assert found.kills == KILLS
    assert controller.faults() == []


async def test_a_server_that_is_told_to_stop_loses_nothing_and_repeats_nothing(
    tmp_path: Path, data: Path, receiver: Receiver, controller: Controller
) -> None:
    run = Run("G7 SIGTERM on SQLite", tmp_path, receiver, controller, Sqlite(data))
    listen = f"127.0.0.1:{free_port()}"
    server = await prepared(run, listen)
    drains = []
    async with run.publishing(load(run), [listen]) as publisher:
        for _ in range(STOPS):
            await publisher.gets_through()
            await asyncio.sleep(run.random.uniform(0.1, 1.0))
            drains.append(await server.stop())
            server = await controller.serve("server", listen=listen)
    await run.settle(listen)
    violations = await run.violations(listen)
    await server.stop()
    drains.sort()
    found = run.audit(
        violations,
        stops=len(drains),
        median_drain=round(drains[len(drains) // 2], 3),
        longest_drain=round(drains[-1], 3),
        failed_calls=publisher.failed_calls,
    )
    found.check()
    assert found.duplicates == 0
    assert drains[-1] <= LONGEST_DRAIN
    assert controller.faults() == []
