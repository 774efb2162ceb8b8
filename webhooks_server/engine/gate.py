"""One bound that lanes share."""

from itertools import count

from webhooks_server.domain.rates import Rate
from webhooks_server.engine.ring import Ring

_NUMBERS = count()


class Gate:
    """So many requests in flight, and so many in a time, as far as it bounds either.

    `in_flight` are those of the lanes that stand before it, `holders` how many lanes that are, and
    `parked` those of them that wait until it opens. A gate that is `named` is that of a host, or of
    a single lane.
    """

    __slots__ = ("_number", "full_at", "holders", "in_flight", "most", "named", "parked", "rate")

    def __init__(self, most: int = 0, *, named: bool = False) -> None:
        """Take how many requests may be in flight; 0 is no bound."""
        self._number = next(_NUMBERS)
        self.most = most
        self.named = named
        self.rate: Rate | None = None
        self.full_at = 0.0
        self.in_flight = 0
        self.holders = 0
        self.parked = Ring()

    def __lt__(self, other: "Gate") -> bool:
        """Order gates by age, for the timers."""
        return self._number < other._number

    def admits(self, now: float) -> bool:
        """Tell whether one more request may start."""
        if self.most and self.in_flight >= self.most:
            return False
        return self.rate is None or self.rate.free_at(self.full_at) <= now

    def free_at(self) -> float:
        """Return from when on the rate allows one more."""
        return 0.0 if self.rate is None else self.rate.free_at(self.full_at)

    def enter(self, now: float) -> None:
        """Count a request that starts."""
        self.in_flight += 1
        if self.rate is not None:
            self.full_at = self.rate.taken(self.full_at, now)

    def give_back(self) -> None:
        """Give the token of a request back that was not made."""
        if self.rate is not None:
            self.full_at -= self.rate.interval
