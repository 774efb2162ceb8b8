"""Which deliveries an append makes: those it inserts itself, and those that a fan-out owes."""

from array import array
from collections.abc import Sequence

from webhooks_server.domain.event import LARGEST_GROUP, Event, Publish, content_hash
from webhooks_server.domain.ids import EventId, SubscriptionId, SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.domain.values import value
from webhooks_server.storage.refusals import event_id_reused, no_subscription

FIRST_CHUNK = LARGEST_GROUP
"""How many deliveries an append inserts itself, over all its events (EC3).

An event that matches more than what is left of it is owed all of them: who publishes does not wait
for a part of what takes its time in any case.
"""
FAN_OUT_CHUNK = 1000


@value
class Targets:
    """Where one event goes: rows made with the event, or frozen ones that it is owed (EA6)."""

    first: Sequence[IndexEntry]
    rest: Sequence[int] = ()

    @property
    def count(self) -> int:
        """How many they are together."""
        return len(self.first) + len(self.rest)


def match_targets(
    publish: Publish, events: Sequence[Event], index: MatchIndex
) -> dict[EventId, Targets]:
    """Return the targets of these of its events by the index; NotFound where `only` is deleted."""
    if publish.only is not None:
        alone = Targets(first=(_addressed(publish, publish.only, index),))
        return {event.id: alone for event in events}
    room = FIRST_CHUNK
    found: dict[EventId, Targets] = {}
    # A batch has many events of few types.
    by_type: dict[str, Targets] = {}
    for event in events:
        targets = by_type.get(event.event_type)
        # What had no room for once has none later.
        if targets is None or len(targets.first) > room:
            numbers = index.match(publish.tenant, event.event_type)
            if len(numbers) > room:
                targets = Targets(first=(), rest=array("I", numbers))
            else:
                targets = Targets(first=[one for one in map(index.get, numbers) if one])
            by_type[event.event_type] = targets
        found[event.id] = targets
        room -= len(targets.first)
    return found


def distinct_events(publish: Publish) -> dict[EventId, tuple[Event, bytes]]:
    """Return each event once by id, with its hash; raises EventIdReused where two share an id."""
    distinct: dict[EventId, tuple[Event, bytes]] = {}
    for event in publish.events:
        digest = content_hash(event)
        _, known = distinct.setdefault(event.id, (event, digest))
        if known != digest:
            raise event_id_reused(event)
    return distinct


def _addressed(publish: Publish, number: SubscriptionNumber, index: MatchIndex) -> IndexEntry:
    entry = index.get(number)
    if entry is None or entry.deleted:
        subscription = SubscriptionId(str(number)) if entry is None else entry.id
        raise no_subscription(publish.tenant, subscription)
    return entry
