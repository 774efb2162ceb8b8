"""Whether the store takes writes: nothing is sent that could not be recorded (reliability S6)."""

import asyncio
from collections.abc import AsyncIterator, Callable

from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, ControlStore, Telemetry

PROBE_SECONDS = 1.0


class StoreWatch:
    """Believes the first write that is refused, and asks the store from then on until it is well.

    It is well once it says so and no result waits for its record: where little space is left, a
    probe may fit in and a record not.
    """

    def __init__(
        self,
        store: ControlStore,
        clock: Clock,
        telemetry: Telemetry,
        unrecorded: Callable[[], int],
    ) -> None:
        """Take the collaborators, and what tells how many results wait for their record."""
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._unrecorded = unrecorded
        self._refused = Signal(clock)
        self._changed = asyncio.Event()
        self.writable = True

    def refused(self) -> None:
        """Take note that the store refused a write."""
        if self.writable:
            self._become(writable=False)
            self._refused.set()

    async def run(self) -> None:
        """Ask a store that refused a write until it is well, for ever."""
        while True:
            await self._refused.wait()
            while not self.writable:
                await self._clock.sleep(PROBE_SECONDS)
                if await self._store.ready() and not self._unrecorded():
                    self._become(writable=True)

    async def readiness(self) -> AsyncIterator[bool]:
        """Yield whether the store takes writes: now, and after each change."""
        while True:
            changed = self._changed
            yield self.writable
            await changed.wait()

    def _become(self, *, writable: bool) -> None:
        self.writable = writable
        self._telemetry.fact("store.writable" if writable else "store.unwritable")
        self._changed.set()
        self._changed = asyncio.Event()
