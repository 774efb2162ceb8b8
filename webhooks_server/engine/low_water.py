"""Below what due time a lane has no pending rows, so that a refill begins there (engine.md, EC2).

Rows that were settled stay in PostgreSQL's index as long as anybody holds an old snapshot: a refill
that begins at the first of them gets slower with each delivery.
"""

from collections.abc import Callable

from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import FROM_THE_FIRST
from webhooks_server.domain.times import Instant

MOST_MARKS = 10_000
"""Those that were read last. A mark outlives its lane, which comes and goes with its work."""


class LowWater:
    """What the refills before told, for each lane; nothing is known of one that is not here.

    A manual retry puts a row before all others, and a commit may have taken longer than is
    reckoned with: so a mark is forgotten whenever a lane is to be read afresh, and at each visit of
    the back-stop. A refill that was out meanwhile tells nothing: its snapshot may be older.
    """

    def __init__(self, most: int = MOST_MARKS) -> None:
        """Know nothing."""
        self._most = most
        self._marks: dict[SubscriptionNumber, Instant] = {}
        self._reading: set[SubscriptionNumber] = set()

    def begin(self, number: SubscriptionNumber) -> Instant:
        """Return from where on a refill that is read now has to look."""
        self._reading.add(number)
        return self._marks.get(number, FROM_THE_FIRST)

    def learn(self, number: SubscriptionNumber, mark: Instant) -> None:
        """Take note of what a refill told that began last."""
        if number not in self._reading:
            return
        self._reading.discard(number)
        self._marks.pop(number, None)
        self._marks[number] = mark
        if len(self._marks) > self._most:
            del self._marks[next(iter(self._marks))]

    def forget(self, number: SubscriptionNumber) -> None:
        """Let the next refill look at all rows."""
        self._reading.discard(number)
        self._marks.pop(number, None)

    def clear(self) -> None:
        """Forget all: a new session may have led to another server, with another clock (EA10)."""
        self._reading.clear()
        self._marks.clear()

    def forget_all(self, is_meant: Callable[[SubscriptionNumber], bool]) -> None:
        """Forget all that are meant."""
        for number in [*filter(is_meant, {*self._marks, *self._reading})]:
            self.forget(number)
