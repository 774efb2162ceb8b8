"""Loading what many ask for: few reads, each key once, and nobody left behind."""

import asyncio
from collections.abc import Sequence

import pytest

from webhooks_server.engine.loading import Loading


class Reads:
    """What a store is asked for; it answers once its gate is open."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def load(self, keys: Sequence[int]) -> dict[int, str]:
        self.asked.append(list(keys))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {key: str(key) for key in keys if key < 100}


async def test_what_is_asked_for_meanwhile_is_read_together_and_once() -> None:
    reads = Reads()
    reads.gate.clear()
    loading = Loading(reads.load, 3)
    asking = [asyncio.ensure_future(loading.get(key)) for key in (1, 2, 3, 2, 100, 4, 5)]
    await asyncio.sleep(0)
    reads.gate.set()
    assert await asyncio.gather(*asking) == ["1", "2", "3", "2", None, "4", "5"]
    assert reads.asked == [[1], [2, 3, 100], [4, 5]]


async def test_a_read_that_fails_fails_for_those_who_asked_and_not_for_the_next() -> None:
    reads = Reads()
    reads.error = ValueError("no")
    loading = Loading(reads.load, 10)
    answers = await asyncio.gather(loading.get(1), loading.get(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError]
    reads.error = None
    assert await loading.get(1) == "1"


async def test_one_who_goes_away_leaves_nobody_waiting() -> None:
    reads = Reads()
    reads.gate.clear()
    loading = Loading(reads.load, 10)
    first, second = (asyncio.ensure_future(loading.get(key)) for key in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    reads.gate.set()
    async with asyncio.timeout(5):
        assert await second == "2"
    with pytest.raises(asyncio.CancelledError):
        await first
