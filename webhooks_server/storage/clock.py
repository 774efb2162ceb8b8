"""The clock of a store whose database has none: by it rows are due, complete and expired."""

from webhooks_server.domain.times import Instant
from webhooks_server.ports import Clock


class StoreClock:
    """Wall time at the start plus monotonic time since, never below `floor` (engine.md, EC5).

    A jump of the wall clock therefore moves nothing. `floor` is the latest time the store holds.
    """

    def __init__(self, clock: Clock, floor: Instant = Instant(0)) -> None:
        self._monotonic = clock.monotonic
        self._start = max(clock.wall(), floor)
        self._origin = clock.monotonic()

    def now(self) -> Instant:
        """Return the time by which this store judges; it never goes back."""
        return Instant(self._start + int((self._monotonic() - self._origin) * 1_000_000))
