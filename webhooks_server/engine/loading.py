"""Loading what many ask for one by one in few reads."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Loading(Generic[Key, Value]):
    """Reads what was asked for while the read before was out, all together, and each key once."""

    def __init__(
        self, load: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]], most: int
    ) -> None:
        """Take what reads keys, without those that are gone, and how many at most in one go."""
        self._load = load
        self._most = most
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._turn = asyncio.Lock()

    async def get(self, key: Key) -> Value | None:
        """Return what a read finds that begins after this call; None where it is gone."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        async with self._turn:
            if not answer.done():
                await self._read()
        return await answer

    async def _read(self) -> None:
        # Whoever reads has waited longest: its key is among the first.
        keys = list(self._waiting)[: self._most]
        answers = {key: self._waiting.pop(key) for key in keys}
        try:
            found = await self._load(keys)
        except asyncio.CancelledError:
            # The others still want to know: the next of them reads.
            self._waiting = answers | self._waiting
            raise
        except Exception as error:
            for answer in answers.values():
                answer.set_exception(error)
                # Who asked may be gone: then it is nobody's error.
                answer.exception()
            raise
        for key, answer in answers.items():
            answer.set_result(found.get(key))
