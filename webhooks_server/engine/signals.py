"""Waiting for something to do, or for time to pass, whichever comes first."""

import asyncio

from webhooks_server.ports import Clock


class Signal:
    """A flag that one loop waits for; setting it twice before the loop looks is setting it once."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock that time-outs are measured by."""
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        """Let the waiting loop go on, now or at its next wait."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Return when the flag is set, or after so many seconds; the flag is down afterwards."""
        if not self._event.is_set():
            if seconds is None:
                await self._event.wait()
            else:
                await self._wait_either(seconds)
        self._event.clear()

    async def _wait_either(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(max(0.0, seconds)))
        sleeping.add_done_callback(self._end)
        try:
            await self._event.wait()
        finally:
            # Its end must not set the flag for the next wait.
            sleeping.remove_done_callback(self._end)
            sleeping.cancel()

    def _end(self, _: "asyncio.Future[None]") -> None:
        self._event.set()
