"""Who is let in: bounds the calls that run at once, and closes the door at the stop."""

import asyncio

from webhooks_server.domain.errors import ServerOverloaded, ShuttingDown


class Admission:
    """Counts the calls that run: each is a `with` block."""

    def __init__(self, capacity: int) -> None:
        """Take how many calls may run at once."""
        self.capacity = capacity
        self.running = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        """Let a call in; raises ShuttingDown, ServerOverloaded."""
        if self._closed:
            raise ShuttingDown
        if self.running >= self.capacity:
            raise ServerOverloaded
        if not self.running:
            self._idle.clear()
        self.running += 1

    def __exit__(self, *_: object) -> None:
        """Take note that a call has ended."""
        self.running -= 1
        if not self.running:
            self._idle.set()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no call runs, at most this long; tells whether none does."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
