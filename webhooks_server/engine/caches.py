"""What the engine keeps in memory of the stores, both bounded.

Decoded subscriptions and payloads.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from webhooks_server.domain.event import LARGEST_GROUP, Event
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.outbound import Recipient
from webhooks_server.engine.loading import Loading
from webhooks_server.ports import EventStore, SubscriptionStore

MAX_SUBSCRIPTIONS = 4096
SUBSCRIPTIONS_PER_LOAD = 256
# Few, for each may be as large as a payload can be.
EVENTS_PER_LOAD = 16
MOST_PER_LOAD = 128
SMALL_LOAD_BYTES = 512 * 1024
# What an event costs beside its payload: the object, its texts and its place in the cache.
EVENT_OVERHEAD = 1024


class GoneError(Exception):
    """A row that a delivery needs is not in the store."""


class Subscriptions:
    """Decoded subscriptions, never older than the match index says they are."""

    def __init__(self, store: SubscriptionStore, index: MatchIndex, user_agent: str) -> None:
        """Take where they come from, the index that knows their versions, and who sends."""
        self._store = store
        self._index = index
        self._user_agent = user_agent
        self._known: OrderedDict[SubscriptionNumber, Recipient] = OrderedDict()
        self._loading = Loading(self._load, SUBSCRIPTIONS_PER_LOAD)

    async def get(self, number: SubscriptionNumber) -> Recipient:
        """Return a subscription at the version of the index or a later one; raises GoneError."""
        known = self._fresh(number)
        if known is not None:
            self._known.move_to_end(number)
            return known
        recipient = await self._loading.get(number)
        if recipient is None:
            message = f"subscription {number} is gone"
            raise GoneError(message)
        return recipient

    async def fetch(self, numbers: Iterable[SubscriptionNumber]) -> None:
        """Read those that are not here in one go."""
        missing = [number for number in numbers if self._fresh(number) is None]
        if missing:
            await self._load(missing)

    def __len__(self) -> int:
        """Return how many are here."""
        return len(self._known)

    def _fresh(self, number: SubscriptionNumber) -> Recipient | None:
        entry, known = self._index.get(number), self._known.get(number)
        if known is None or entry is None or known.subscription.version < entry.version:
            return None
        return known

    async def _load(
        self, numbers: Sequence[SubscriptionNumber]
    ) -> dict[SubscriptionNumber, Recipient]:
        found = {
            one.number: Recipient(one, self._user_agent) for one in await self._store.load(numbers)
        }
        self._known.update(found)
        while len(self._known) > MAX_SUBSCRIPTIONS:
            self._known.popitem(last=False)
        return found


class Payloads:
    """Events by number, the least recently used dropped first, bounded in bytes."""

    def __init__(self, store: EventStore, most_bytes: int) -> None:
        """Take where they come from, and the bound."""
        self._store = store
        self.most = most_bytes
        self.size = 0
        self._known: OrderedDict[EventSeq, Event] = OrderedDict()
        self._loading = Loading(self._load, EVENTS_PER_LOAD)

    def put(self, event: Event) -> None:
        """Keep an event that will be needed soon."""
        if event.seq in self._known:
            return
        self._known[event.seq] = event
        self.size += _size(event)
        while self.size > self.most:
            _, dropped = self._known.popitem(last=False)
            self.size -= _size(dropped)

    async def get(self, seq: EventSeq) -> Event:
        """Return an event, from the store where it is not here; raises GoneError."""
        event = self._known.get(seq)
        if event is not None:
            self._known.move_to_end(seq)
            return event
        event = await self._loading.get(seq)
        if event is None:
            message = f"event {seq} is gone"
            raise GoneError(message)
        return event

    async def fetch(self, seqs: Iterable[EventSeq]) -> None:
        """Read those that are not here, the first ones first, until they fill half of the cache.

        More would push out what is needed earlier; get() reads the rest.
        """
        missing = list(dict.fromkeys(seq for seq in seqs if seq not in self._known))
        room, step = self.most // 2, EVENTS_PER_LOAD
        while missing and room > 0:
            wanted, missing = missing[:step], missing[step:]
            size = sum(map(_size, (await self._load(wanted)).values()))
            room -= size
            # Where they are small, a read for each few would cost more than what it reads.
            is_small = size <= SMALL_LOAD_BYTES
            step = min(2 * step, MOST_PER_LOAD) if is_small else EVENTS_PER_LOAD

    def crowded(self, seqs: Iterable[EventSeq]) -> Collection[EventSeq]:
        """Return those of these events that are here and go to very many subscriptions."""
        return {
            seq
            for seq in seqs
            if (event := self._known.get(seq)) and event.delivery_count > LARGEST_GROUP
        }

    async def _load(self, seqs: Sequence[EventSeq]) -> dict[EventSeq, Event]:
        found = {event.seq: event for event in await self._store.load(seqs)}
        for event in found.values():
            self.put(event)
        return found


class Caches(NamedTuple):
    """Both."""

    subscriptions: Subscriptions
    payloads: Payloads


def _size(event: Event) -> int:
    return len(event.payload) + EVENT_OVERHEAD
