"""When what waits for a time must be looked at again: one moment each."""

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Timers(Generic[Key]):
    """A heap of (moment, key), moments of the monotonic clock in seconds; keys have an order."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, Key]] = []
        self._moments: dict[Key, float] = {}

    def arm(self, key: Key, moment: float) -> bool:
        """Look at this at that moment, or earlier where that was asked before.

        Tells whether it is now the first.
        """
        known = self._moments.get(key)
        if known is not None and known <= moment:
            return False
        self._moments[key] = moment
        heapq.heappush(self._heap, (moment, key))
        if len(self._heap) > 2 * len(self._moments) + 64:
            self._heap = [(at, one) for one, at in self._moments.items()]
            heapq.heapify(self._heap)
        return self._heap[0] == (moment, key)

    def next(self) -> float | None:
        """Return the first moment; None where there is none."""
        while self._heap:
            moment, key = self._heap[0]
            if self._moments.get(key) == moment:
                return moment
            heapq.heappop(self._heap)
        return None

    def expired(self, now: float) -> list[Key]:
        """Take out what has its moment now."""
        keys: list[Key] = []
        while (moment := self.next()) is not None and moment <= now:
            _, key = heapq.heappop(self._heap)
            del self._moments[key]
            keys.append(key)
        return keys

    def clear(self) -> None:
        """Forget all moments."""
        self._heap.clear()
        self._moments.clear()

    def __len__(self) -> int:
        """Return how many have a moment."""
        return len(self._moments)

    def __contains__(self, key: Key) -> bool:
        """Tell whether this has a moment."""
        return key in self._moments
