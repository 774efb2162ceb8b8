"""Deadlines that share one timer."""

import asyncio

import pytest

from webhooks_server.engine.deadlines import TICK_SECONDS, Deadlines


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_body_that_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.1):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1 + 2 * TICK_SECONDS)
    assert cancelling() == 0


@pytest.mark.parametrize("seconds", [0.0, 0.07, 0.2])
async def test_deadline_strikes_on_time(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines()
    started = loop.time()
    with pytest.raises(TimeoutError), deadlines.within(seconds):
        await asyncio.Event().wait()
    assert seconds <= loop.time() - started <= seconds + 3 * TICK_SECONDS
    assert cancelling() == 0


async def test_each_has_its_own_deadline() -> None:
    deadlines = Deadlines()
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        try:
            with deadlines.within(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (0.3, 0.01, 0.2, 0.1):
            group.create_task(wait(seconds))
    assert ended == [0.01, 0.1, 0.2, 0.3]


async def test_an_error_of_the_body_comes_out() -> None:
    with pytest.raises(ZeroDivisionError), Deadlines().within(1):
        raise ZeroDivisionError


@pytest.mark.parametrize("has_struck", [False, True])
async def test_cancelled_from_outside_the_task_ends(*, has_struck: bool) -> None:
    deadline = Deadlines().within(5)

    async def wait() -> None:
        with deadline:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    if has_struck:
        deadline.strike()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timer_stops_when_nothing_runs() -> None:
    deadlines = Deadlines()
    ticking = [deadlines._is_ticking]
    with deadlines.within(5):
        await asyncio.sleep(2 * TICK_SECONDS)
        ticking.append(deadlines._is_ticking)
    await asyncio.sleep(2 * TICK_SECONDS)
    ticking.append(deadlines._is_ticking)
    assert ticking == [False, True, False]
    with pytest.raises(TimeoutError), deadlines.within(0.01):
        await asyncio.Event().wait()
