"""Retention: one engine removes what has been finished for long enough, bit by bit."""

from webhooks_server.domain.ids import EventSeq
from webhooks_server.domain.times import SECOND, Micros
from webhooks_server.engine.lanes import Lanes
from webhooks_server.ports import Clock, EventStore, Telemetry

ROUNDS_PER_AGE = 20
"""Rounds within the time that events are kept, by a part of which they may be kept longer."""
LONGEST_INTERVAL = 600.0
PAUSE_PER_SECOND = 2.0
"""How long the store is left to others for each second that a step took."""
SHORTEST_PAUSE = 0.005
# Whoever owns it does what one engine alone should do (EA13).
_PARTITION = 0


class Retention:
    """Rounds over all events, the oldest first, each up to the first one that is too young."""

    def __init__(
        self, seconds: float, events: EventStore, lanes: Lanes, clock: Clock, telemetry: Telemetry
    ) -> None:
        """Take for how long finished events are kept, and who knows what this engine owns."""
        self._age = Micros(round(seconds * SECOND))
        self._interval = min(seconds / ROUNDS_PER_AGE, LONGEST_INTERVAL)
        self._events = events
        self._lanes = lanes
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """Make rounds, for ever."""
        while True:
            await self._round()
            await self._clock.sleep(self._interval)

    async def _round(self) -> None:
        events = deliveries = 0
        after: EventSeq | None = EventSeq(0)
        while after is not None and _PARTITION in self._lanes.epochs:
            begun = self._clock.monotonic()
            step = await self._events.purge(self._age, after)
            events, deliveries = events + step.events, deliveries + step.deliveries
            after = step.next_after
            took = self._clock.monotonic() - begun
            await self._clock.sleep(max(PAUSE_PER_SECOND * took, SHORTEST_PAUSE))
        if events or deliveries:
            self._telemetry.fact("events.purged", events=events, deliveries=deliveries)
