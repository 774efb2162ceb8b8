"""Work that nobody waits for."""

import asyncio
import time

import pytest

from tests.harness.world import Faults
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.services.background import Background


async def test_what_is_needed_is_waited_for_and_the_rest_is_dropped() -> None:
    done: list[str] = []

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        done.append(name)

    background = Background(Faults())
    background.start("needed", work("needed", 0.05))
    background.start("needless", work("needless", 0.05), needed=False)
    await background.close(5)
    assert done == ["needed"]


async def test_the_grace_is_a_bound() -> None:
    background = Background(Faults())
    background.start("endless", asyncio.sleep(60))
    started = time.monotonic()
    await background.close(0.05)
    assert time.monotonic() - started < 2
    await background.close(0.05)


async def test_a_failure_is_told_and_changes_nothing() -> None:
    telemetry = Faults()
    background = Background(telemetry)
    bug = RuntimeError("bug")

    async def failing(error: Exception) -> None:
        raise error

    background.start("expected", failing(StoreUnavailable()))
    background.start("bug", failing(bug))
    await background.close(1)
    told = {"work": "expected", "reason": "STORE_UNAVAILABLE"}
    assert telemetry.facts == [("background.failed", told)]
    assert telemetry.faults == [("background.failed", bug)]


async def test_shielded_work_is_finished_where_its_caller_goes_away() -> None:
    telemetry = Faults()
    background = Background(telemetry)
    done = asyncio.Event()

    async def work() -> int:
        await asyncio.sleep(0.02)
        done.set()
        return 7

    assert await background.shielded("work", work()) == 7
    done.clear()
    caller = asyncio.ensure_future(background.shielded("work", work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not done.is_set()
    await background.close(5)
    assert done.is_set()


async def test_shielded_work_that_fails_tells_whoever_is_left() -> None:
    telemetry = Faults()
    background = Background(telemetry)
    bug = RuntimeError("bug")

    async def failing(error: Exception) -> None:
        await asyncio.sleep(0.01)
        raise error

    with pytest.raises(RuntimeError):
        await background.shielded("heard", failing(bug))
    assert telemetry.faults == []
    for error in (bug, StoreUnavailable()):
        caller = asyncio.ensure_future(background.shielded("abandoned", failing(error)))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    await background.close(5)
    assert telemetry.faults == [("background.failed", bug)]
    told = {"work": "abandoned", "reason": "STORE_UNAVAILABLE"}
    assert telemetry.facts == [("background.failed", told)]
