"""The end of an engine: nothing new, then what is in flight, then its records, by one deadline."""

import asyncio

from webhooks_server.domain.errors import WebhooksError
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.senders import Senders
from webhooks_server.engine.tenure import Tenure
from webhooks_server.ports import Clock, Telemetry

LAST_RECORDS_SECONDS = 1.0


class Stopping:
    """Begins once, by whom it occurs to first; from then on its deadline runs."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        senders: Senders,
        lanes: Lanes,
        recorder: Recorder,
        tenure: Tenure,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take what must come to its end."""
        self._config = config
        self._senders = senders
        self._lanes = lanes
        self._recorder = recorder
        self._tenure = tenure
        self._clock = clock
        self._telemetry = telemetry
        self._end: float | None = None

    @property
    def begun(self) -> bool:
        """Whether nothing may be taken any more."""
        return self._end is not None

    def begin(self, grace: float) -> None:
        """Let everything end within so many seconds from now."""
        self._tenure.stop_taking()
        if self._end is None:
            self._end = self._clock.monotonic() + grace

    async def finish(self) -> None:
        """Wait for what is in flight and for its records, and give the partitions back.

        Requests that go on beyond the deadline are cut off: what comes of them would be lost.
        """
        self._lanes.forget()
        try:
            async with asyncio.timeout(self._left()):
                await self._senders.stop()
        except TimeoutError as error:
            self._told(error)
            await self._senders.cut_off()
        try:
            # What ended in the last moment must be on record, or it is sent once more.
            async with asyncio.timeout(max(self._left(), LAST_RECORDS_SECONDS)):
                await self._recorder.flushed()
                await self._tenure.leave()
        except (TimeoutError, WebhooksError) as error:
            self._told(error)

    def _left(self) -> float:
        return 0.0 if self._end is None else max(0.0, self._end - self._clock.monotonic())

    def _told(self, error: Exception) -> None:
        self._telemetry.fault(
            "engine.stopped_dirty",
            error,
            in_flight=self._lanes.in_flight,
            unrecorded=self._recorder.unrecorded,
        )
