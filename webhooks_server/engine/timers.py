"""When lanes without anything due must be looked at again: one moment per lane."""

import heapq

from webhooks_server.domain.ids import SubscriptionNumber


class Timers:
    """A heap of (moment, subscription), moments of the monotonic clock in seconds."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, SubscriptionNumber]] = []
        self._moments: dict[SubscriptionNumber, float] = {}

    def arm(self, number: SubscriptionNumber, moment: float) -> bool:
        """Look at this lane at that moment, or earlier where that was asked before.

        Tells whether it is now the first.
        """
        known = self._moments.get(number)
        if known is not None and known <= moment:
            return False
        self._moments[number] = moment
        heapq.heappush(self._heap, (moment, number))
        if len(self._heap) > 2 * len(self._moments) + 64:
            self._heap = [(at, lane) for lane, at in self._moments.items()]
            heapq.heapify(self._heap)
        return self._heap[0] == (moment, number)

    def next(self) -> float | None:
        """Return the first moment; None where there is none."""
        while self._heap:
            moment, number = self._heap[0]
            if self._moments.get(number) == moment:
                return moment
            heapq.heappop(self._heap)
        return None

    def expired(self, now: float) -> list[SubscriptionNumber]:
        """Take out the lanes whose moment has come."""
        numbers: list[SubscriptionNumber] = []
        while (moment := self.next()) is not None and moment <= now:
            _, number = heapq.heappop(self._heap)
            del self._moments[number]
            numbers.append(number)
        return numbers

    def clear(self) -> None:
        """Forget all moments."""
        self._heap.clear()
        self._moments.clear()

    def __len__(self) -> int:
        """Return how many lanes have a moment."""
        return len(self._moments)

    def __contains__(self, number: SubscriptionNumber) -> bool:
        """Tell whether a lane has a moment."""
        return number in self._moments
