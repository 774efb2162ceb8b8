"""Telling other processes of what was published into partitions that their engines own."""

from collections.abc import Iterable

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.errors import Unavailable
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.partitions import Heard, Reported
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, Leases

MOST_REPORTS = 10_000
"""What is kept to be told of requests; beyond that their leases end by themselves."""
PAUSE_BETWEEN = 0.01
PAUSE_AFTER_FAULT = 0.25


class Announcing:
    """The loop that does it, outside of every transaction: what comes meanwhile goes together.

    It saves time only: what is not announced is found by the next look.
    """

    def __init__(self, leases: Leases, lanes: Lanes, index: MatchIndex, clock: Clock) -> None:
        """Take whom to tell, and what tells whose a lane is."""
        self._leases = leases
        self._lanes = lanes
        self._index = index
        self._clock = clock
        self._partitions: set[int] = set()
        self._subscriptions: set[SubscriptionNumber] = set()
        self._reports: list[Reported] = []
        self._pings: list[NewDelivery] = []
        self._wanted = Signal(clock)

    def published(self, deliveries: Iterable[NewDelivery]) -> None:
        """Tell of committed deliveries, those of other engines' partitions."""
        owned = self._lanes.epochs
        if len(owned) == PARTITIONS:
            return
        for delivery in deliveries:
            entry = self._index.get(delivery.subscription)
            if entry is not None and entry.partition not in owned:
                self._partitions.add(entry.partition)
        if self._partitions:
            self._wanted.set()

    def woken(self, subscription: SubscriptionNumber) -> None:
        """Tell of a lane with rows that are due earlier, or final, where it is another engine's."""
        entry = self._index.get(subscription)
        # One of which this index has yet to hear may be anybody's: who does not own it passes over.
        if entry is None or entry.partition not in self._lanes.epochs:
            self._subscriptions.add(subscription)
            self._wanted.set()

    def reported(self, report: Reported) -> None:
        """Tell what came of a request that another engine handed out."""
        if len(self._reports) < MOST_REPORTS:
            self._reports.append(report)
            self._wanted.set()

    def pinged(self, ping: NewDelivery) -> None:
        """Have the owner of its partition make the one attempt of a ping at once."""
        self._pings.append(ping)
        self._wanted.set()

    @property
    def waiting(self) -> int:
        """How much there is to tell."""
        lanes = len(self._partitions) + len(self._subscriptions)
        return lanes + len(self._reports) + len(self._pings)

    async def run(self) -> None:
        """Tell what there is, for ever."""
        while True:
            await self._wanted.wait()
            news = Heard(
                partitions=frozenset(self._partitions),
                subscriptions=frozenset(self._subscriptions),
                reports=tuple(self._reports),
                pings=tuple(self._pings),
            )
            for told in (self._partitions, self._subscriptions, self._reports, self._pings):
                told.clear()
            try:
                await self._leases.announce(news)
            except Unavailable:
                await self._clock.sleep(PAUSE_AFTER_FAULT)
            await self._clock.sleep(PAUSE_BETWEEN)
