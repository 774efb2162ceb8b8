"""What the engine keeps in memory of the stores, both bounded.

Decoded subscriptions and payloads.
"""

from collections import OrderedDict
from collections.abc import Iterable

from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.outbound import Recipient
from webhooks_server.ports import EventStore, SubscriptionStore

MAX_SUBSCRIPTIONS = 4096
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

    async def get(self, number: SubscriptionNumber) -> Recipient:
        """Return a subscription at the version of the index or a later one; raises GoneError."""
        entry, known = self._index.get(number), self._known.get(number)
        if known is not None and entry is not None and known.subscription.version >= entry.version:
            self._known.move_to_end(number)
            return known
        found = await self._store.load([number])
        if not found:
            message = f"subscription {number} is gone"
            raise GoneError(message)
        recipient = self._known[number] = Recipient(found[0], self._user_agent)
        if len(self._known) > MAX_SUBSCRIPTIONS:
            self._known.popitem(last=False)
        return recipient


class Payloads:
    """Events by number, the least recently used dropped first, bounded in bytes."""

    def __init__(self, store: EventStore, most_bytes: int) -> None:
        """Take where they come from, and the bound."""
        self._store = store
        self._most = most_bytes
        self._size = 0
        self._known: OrderedDict[EventSeq, Event] = OrderedDict()

    def put(self, event: Event) -> None:
        """Keep an event that will be needed soon."""
        if event.seq in self._known:
            return
        self._known[event.seq] = event
        self._size += len(event.payload) + EVENT_OVERHEAD
        while self._size > self._most:
            _, dropped = self._known.popitem(last=False)
            self._size -= len(dropped.payload) + EVENT_OVERHEAD

    async def get(self, seq: EventSeq) -> Event:
        """Return an event, from the store where it is not here; raises GoneError."""
        event = self._known.get(seq)
        if event is not None:
            self._known.move_to_end(seq)
            return event
        found = await self._store.load([seq])
        if not found:
            message = f"event {seq} is gone"
            raise GoneError(message)
        self.put(found[0])
        return found[0]

    async def fetch(self, seqs: Iterable[EventSeq]) -> None:
        """Read those that are not here in one go."""
        missing = list(dict.fromkeys(seq for seq in seqs if seq not in self._known))
        if missing:
            for event in await self._store.load(missing):
                self.put(event)
