"""How many bytes of payloads may be with receivers at once (reliability L8)."""

import asyncio
from collections import deque
from typing import NamedTuple


class _Waiting(NamedTuple):
    size: int
    granted: asyncio.Future[None]


class ByteBudget:
    """Bytes in flight: at most `most`, of which lanes that are not proven have a half at most.

    Else a few large payloads on their way to receivers that hang would hold up everybody. A payload
    that is larger than a whole share goes alone. First come, first served, in each class.
    """

    def __init__(self, most: int) -> None:
        """Take the bound in bytes."""
        self.most = most
        self._used = {True: 0, False: 0}
        self._waiting: dict[bool, deque[_Waiting]] = {True: deque(), False: deque()}

    @property
    def used(self) -> int:
        """How many bytes are in flight."""
        return self._used[True] + self._used[False]

    def take(self, size: int, *, proven: bool) -> bool:
        """Take so many bytes where they are free now."""
        if self._waiting[proven] or not self._fits(size, proven=proven):
            return False
        self._used[proven] += size
        return True

    async def wait_for(self, size: int, *, proven: bool) -> None:
        """Take so many bytes as soon as they are free; whoever waits must not hold the payload."""
        waiting = _Waiting(size, asyncio.get_running_loop().create_future())
        self._waiting[proven].append(waiting)
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting.granted.done() and not waiting.granted.cancelled():
                self.give_back(size, proven=proven)
            else:
                self._waiting[proven].remove(waiting)
            raise

    def give_back(self, size: int, *, proven: bool) -> None:
        """Give so many bytes to those that wait."""
        self._used[proven] -= size
        for of_proven in (True, False):
            self._grant(proven=of_proven)

    def _grant(self, *, proven: bool) -> None:
        queue = self._waiting[proven]
        while queue and self._fits(queue[0].size, proven=proven):
            waiting = queue.popleft()
            if not waiting.granted.done():
                self._used[proven] += waiting.size
                waiting.granted.set_result(None)

    def _fits(self, size: int, *, proven: bool) -> bool:
        used = self.used
        if used and used + size > self.most:
            return False
        doubtful = self._used[False]
        return proven or not doubtful or 2 * (doubtful + size) <= self.most
