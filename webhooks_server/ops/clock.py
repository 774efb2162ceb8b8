"""The clock of this machine."""

import asyncio
import time

from webhooks_server.domain.times import Instant


class SystemClock:
    """ports.Clock on the machine's own clocks."""

    def wall(self) -> Instant:
        """Return the wall clock's time."""
        return Instant(time.time_ns() // 1_000)

    def monotonic(self) -> float:
        """Return seconds that only ever go forward."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        await asyncio.sleep(seconds)
