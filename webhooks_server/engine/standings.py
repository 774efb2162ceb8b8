"""What is known of each lane's receiver in this tenure, and what of it must be on record."""

from collections.abc import Callable, Collection, Iterable

from webhooks_server.domain import breaker
from webhooks_server.domain.breaker import Health, Sign
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.domain.times import Micros
from webhooks_server.engine.lane import Lane


class Standings:
    """The health of lanes, which outlives the lanes: those exist only while they have work."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin a tenure, in which nobody has proven anything yet."""
        self._monotonic = monotonic
        self._known: dict[SubscriptionNumber, Health] = {}
        self._unsaved: dict[SubscriptionNumber, LaneFailing] = {}

    def health_of(self, entry: IndexEntry) -> Health:
        """Return the health of a lane; at first, what is on record of it."""
        known = self._known.get(entry.number)
        if known is None:
            known = breaker.restored(entry.failing, self._monotonic())
            if entry.failing:
                self._known[entry.number] = known
        return known

    @property
    def known(self) -> Collection[SubscriptionNumber]:
        """The lanes of which anything is known."""
        return self._known.keys()

    def forget(self, numbers: Iterable[SubscriptionNumber]) -> None:
        """Know nothing of lanes any more: their partitions were somebody else's meanwhile."""
        for number in numbers:
            self._known.pop(number, None)
            self._unsaved.pop(number, None)

    def restore(self, entry: IndexEntry, level: int) -> None:
        """Begin a tenure with what is on record of a lane; what was seen since counts more."""
        known = self._known.get(entry.number)
        if (known is None or not known.proven) and level != entry.failing:
            self._known[entry.number] = breaker.restored(level, self._monotonic())

    def allowed(self, health: Health, most: int) -> int:
        """Return how many requests may be in flight now, of at most so many."""
        return breaker.allowed(health, self._monotonic(), most)

    def judge(self, entry: IndexEntry, sign: Sign) -> Health:
        """Take note of an attempt; returns the health after it."""
        now, before = self._monotonic(), self.health_of(entry)
        after = breaker.judge(before, sign, now)
        after = breaker.settled(after, now, entry.max_in_flight)
        self._keep(entry.number, before, after)
        return after

    def probe_now(self, entry: IndexEntry) -> Health:
        """Let an open breaker try at once: what it opened for may have been put right."""
        before = self.health_of(entry)
        after = breaker.probed_now(before, self._monotonic())
        self._keep(entry.number, before, after)
        return after

    def is_proven(self, number: SubscriptionNumber) -> bool:
        """Tell whether a lane had a success in this tenure."""
        known = self._known.get(number)
        return known is not None and known.proven

    def is_open(self, entry: IndexEntry) -> bool:
        """Tell whether a lane's breaker is open."""
        return breaker.is_open(self.health_of(entry), self._monotonic())

    @property
    def open(self) -> int:
        """How many lanes have an open breaker."""
        now = self._monotonic()
        return sum(breaker.is_open(health, now) for health in self._known.values())

    def take_unsaved(self) -> list[LaneFailing]:
        """Return what changed since this was last asked, the last of each lane."""
        unsaved = list(self._unsaved.values())
        self._unsaved.clear()
        return unsaved

    def put_back(self, unsaved: list[LaneFailing]) -> None:
        """Keep what could not be stored, where nothing newer is known."""
        for one in unsaved:
            self._unsaved.setdefault(one.subscription, one)

    def _keep(self, number: SubscriptionNumber, before: Health, after: Health) -> None:
        if after is before:
            return
        self._known[number] = after
        if after.level != before.level:
            left = 0.0 if after.open_until is None else after.open_until - self._monotonic()
            self._unsaved[number] = LaneFailing(
                subscription=number,
                level=after.level,
                open_for=Micros(round(max(0.0, left) * 1_000_000)),
            )


def is_sound(lane: Lane) -> bool:
    """Tell whether one more success changes nothing: what nearly every attempt meets."""
    return lane.health is breaker.SOUND
