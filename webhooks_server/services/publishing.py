"""Publish and BatchPublish: check, accept durably, tell the engine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from webhooks_server.domain.bounds import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from webhooks_server.domain.errors import EventIdReused, NotFound, Violation
from webhooks_server.domain.event import Accepted, Event, Publish, content_hash
from webhooks_server.domain.ids import EventId, IdSource, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Clock, Engine, EventStore, SubscriptionStore
from webhooks_server.services.background import Background
from webhooks_server.services.catching_up import catch_up
from webhooks_server.services.event_checks import EventFields, check_events
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations

_SETTLED_AFTER = 2.0
"""Seconds by which a commit that was under way has certainly ended or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishDraft:
    """The events of a Publish or BatchPublish; an empty id is one that the server makes.

    `fields` belong to the events one by one. `unreadable` holds what the front door found wrong.
    """

    tenant: TenantId
    events: tuple[Event, ...]
    fields: tuple[EventFields, ...]
    unreadable: tuple[Violation, ...] = ()


class Publishing:
    """Takes events in."""

    def __init__(
        self,
        *,
        largest_payload: int,
        events: EventStore,
        subscriptions: SubscriptionStore,
        engine: Engine,
        index: MatchIndex,
        ids: IdSource,
        clock: Clock,
        background: Background,
    ) -> None:
        """Take the ports; largest_payload in bytes."""
        self._largest_payload = largest_payload
        self._events = events
        self._subscriptions = subscriptions
        self._engine = engine
        self._index = index
        self._ids = ids
        self._clock = clock
        self._background = background

    async def publish(self, draft: PublishDraft) -> Sequence[Accepted]:
        """Accept the events durably, all or none; the answer is in their order."""
        await self._check(draft)
        publish = Publish(tenant=draft.tenant, events=self._with_ids(draft.events))
        try:
            accepted = await self._events.append(publish)
        except asyncio.CancelledError:
            # The caller went away, yet the commit may stand: the deliveries shall not wait for the
            # engine to find them by itself.
            self._background.start("publish.wake", self._wake_later(publish), needed=False)
            raise
        self._engine.accepted(accepted)
        return accepted

    async def validate(self, draft: PublishDraft) -> Sequence[Accepted]:
        """Answer what publish would, as far as it can be known, and store nothing."""
        await self._check(draft)
        await catch_up(self._index, self._subscriptions)
        seen: dict[EventId, Event] = {}
        return [await self._validated(event, seen) for event in draft.events]

    async def _check(self, draft: PublishDraft) -> None:
        known(draft.tenant)
        violations = Violations(draft.unreadable)
        events = draft.events
        if not 1 <= len(events) <= MAX_BATCH_EVENTS:
            problem = f"must have 1 to {MAX_BATCH_EVENTS} events, has {len(events)}"
            violations.add("events", problem)
            violations.raise_any()
        await check_events(events, draft.fields, self._largest_payload, violations)
        size = sum([len(event.payload) for event in events])
        if size > MAX_BATCH_BYTES:
            violations.add(
                "events",
                f"must have at most {MAX_BATCH_BYTES} bytes of payloads, have {size}",
                "PAYLOAD_TOO_LARGE",
                limit_bytes=str(MAX_BATCH_BYTES),
            )
        violations.raise_any()

    def _with_ids(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if all(event.id for event in events):
            return events
        return tuple(
            [event if event.id else replace(event, id=self._ids.event()) for event in events]
        )

    async def _validated(self, event: Event, seen: dict[EventId, Event]) -> Accepted:
        if event.id:
            first = seen.get(event.id) or await self._stored(event)
            if first is not None:
                return _duplicate(event, first)
        matched = len(self._index.match(event.tenant, event.event_type))
        counted = replace(event, delivery_count=matched)
        if event.id:
            seen[event.id] = counted
        return Accepted(event=counted, duplicate=False)

    async def _stored(self, event: Event) -> Event | None:
        try:
            return await self._events.get(event.tenant, event.id)
        except NotFound:
            return None

    async def _wake_later(self, publish: Publish) -> None:
        await self._clock.sleep(_SETTLED_AFTER)
        types = {event.event_type for event in publish.events}
        numbers = {
            number
            for event_type in types
            for number in self._index.match(publish.tenant, event_type)
        }
        for number in numbers:
            self._engine.wake(number)


def _duplicate(event: Event, first: Event) -> Accepted:
    if content_hash(event) != content_hash(first):
        message = f"an event with the id {event.id} and other content exists already"
        raise EventIdReused("webhooks.v1.Event", event.name, message)
    return Accepted(event=first, duplicate=True)
