"""Events in memory."""

from collections.abc import Sequence

from typing_extensions import override

from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import EventId, EventSeq, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.retention import PurgeStep
from webhooks_server.domain.times import Micros
from webhooks_server.ports import EventStore
from webhooks_server.storage.memory.rows import FanOut, Rows
from webhooks_server.storage.memory.terms import Value, meets, newest_first
from webhooks_server.storage.pages import event_size
from webhooks_server.storage.refusals import event_id_reused, no_event
from webhooks_server.storage.targets import Targets, distinct_events, match_targets

PURGED_AT_ONCE = 200


class MemoryEvents(EventStore):
    """The port EventStore."""

    def __init__(self, rows: Rows, index: MatchIndex) -> None:
        self._rows = rows
        self._index = index

    @override
    async def append(self, publish: Publish) -> Sequence[Accepted]:
        rows = self._rows
        distinct = distinct_events(publish)
        fresh: list[Event] = []
        for event, digest in distinct.values():
            seq = rows.event_seqs.get((event.tenant, event.id))
            if seq is None:
                fresh.append(event)
            elif rows.content_hashes[seq] != digest:
                raise event_id_reused(event)
        self._refresh_index()
        targets = match_targets(publish, fresh, self._index)
        accepted = {
            event.id: self._insert(publish, event, distinct[event.id][1], targets[event.id])
            for event in fresh
        }
        # The first result of an id is the one that stored it; every further one is a duplicate.
        return [
            accepted.pop(event.id) if event.id in accepted else self._duplicate(event)
            for event in publish.events
        ]

    @override
    async def get(self, tenant: TenantId, event: EventId) -> Event:
        seq = self._rows.event_seqs.get((tenant, event))
        if seq is None:
            raise no_event(tenant, event)
        return self._rows.events[seq]

    @override
    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest, *, full: bool
    ) -> Page[Event]:
        found = (
            one if full else one._replace(payload=b"")
            for one in self._rows.events.values()
            if tenant in (None, one.tenant) and meets(terms, _fields(one))
        )
        return newest_first(found, page, key=lambda one: one.seq, size=event_size)

    @override
    async def load(self, events: Sequence[EventSeq]) -> Sequence[Event]:
        known = self._rows.events
        return [known[seq] for seq in dict.fromkeys(events) if seq in known]

    @override
    async def purge(self, age: Micros, after: EventSeq) -> PurgeStep:
        rows = self._rows
        before = rows.now() - age
        page = sorted(seq for seq in rows.events if seq > after)[:PURGED_AT_ONCE]
        old = [seq for seq in page if rows.events[seq].create_time <= before]
        kept = {
            one.event_seq
            for one in rows.deliveries.values()
            if one.row.complete_time is None or one.row.complete_time > before
        }
        gone = [seq for seq in old if seq not in kept and seq not in rows.fan_outs]
        deliveries = sum(rows.remove_event(seq) for seq in gone)
        more = len(old) == PURGED_AT_ONCE
        return PurgeStep(
            events=len(gone), deliveries=deliveries, next_after=page[-1] if more else None
        )

    def _refresh_index(self) -> None:
        while self._index.version < self._rows.version:
            self._index.apply(self._rows.changes(self._index.version))

    def _insert(self, publish: Publish, event: Event, digest: bytes, targets: Targets) -> Accepted:
        rows = self._rows
        stored = rows.add_event(event, digest, targets.count)
        if targets.rest:
            rows.fan_outs[stored.seq] = FanOut(numbers=targets.rest, trigger=publish.trigger)
        deliveries = rows.add_deliveries(
            stored, targets.first, publish.trigger, publish.first_due_delay
        )
        return Accepted(
            event=stored,
            duplicate=False,
            deliveries=tuple(deliveries),
            fan_out=bool(targets.rest),
        )

    def _duplicate(self, event: Event) -> Accepted:
        seq = self._rows.event_seqs[event.tenant, event.id]
        return Accepted(event=self._rows.events[seq], duplicate=True)


def _fields(event: Event) -> dict[str, Value]:
    return {
        "event_type": event.event_type,
        "subject": event.subject,
        "source": event.source,
        "create_time": event.create_time,
    }
