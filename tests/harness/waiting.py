"""Waiting for something to become true, with a bound."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(
    true: Callable[[], bool], within: float = 5.0, told: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"not within {within} s; {told()}"
        await asyncio.sleep(0.005)


async def until_async(true: Callable[[], Awaitable[bool]], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not await true():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.01)
