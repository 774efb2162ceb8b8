"""Publish, BatchPublish and StreamingPublish: check, accept durably, tell the engine."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from webhooks_server.domain.bounds import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from webhooks_server.domain.errors import EventIdReused, NotFound, StoreUnavailable, Violation
from webhooks_server.domain.event import Accepted, Event, Publish, content_hash
from webhooks_server.domain.ids import EventId, IdSource, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Clock, Engine, Stores, Telemetry
from webhooks_server.services.background import Background
from webhooks_server.services.catching_up import catch_up
from webhooks_server.services.event_checks import check_event, payload_bytes, read_through
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations

_SETTLED_AFTER = 2.0
_WOKEN_AT_ONCE = 256
"""Seconds by which a commit that was under way has certainly ended or failed."""


@dataclass(slots=True, kw_only=True)
class PublishDraft:
    """The events of a Publish, or of a BatchPublish; an empty id is one that the server makes.

    `structs` are the positions of those whose payload the caller gave as `data`. `unreadable` holds
    what the front door found wrong.
    """

    tenant: TenantId
    events: tuple[Event, ...]
    is_batch: bool = False
    structs: Collection[int] = ()
    unreadable: tuple[Violation, ...] = ()


class Publishing:
    """Takes events in."""

    def __init__(
        self,
        *,
        largest_payload: int,
        stores: Stores,
        engine: Engine,
        index: MatchIndex,
        ids: IdSource,
        clock: Clock,
        background: Background,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports; largest_payload in bytes."""
        self._largest_payload = largest_payload
        self._events = stores.events
        self._subscriptions = stores.subscriptions
        self._engine = engine
        self._index = index
        self._ids = ids
        self._clock = clock
        self._background = background
        self._telemetry = telemetry

    async def publish(self, draft: PublishDraft) -> Sequence[Accepted]:
        """Accept the events durably, all or none; the answer is in their order."""
        begun = self._clock.monotonic()
        await read_through(payload_bytes(draft.events), self.check, draft)
        return await self.accept(draft.tenant, draft.events, begun)

    async def accept(
        self, tenant: TenantId, events: tuple[Event, ...], begun: float | None = None
    ) -> Sequence[Accepted]:
        """Accept events that check() let pass, as publish does, which began at a moment."""
        began = self._clock.monotonic() if begun is None else begun
        publish = Publish(tenant=tenant, events=self._with_ids(events))
        try:
            with self._telemetry.span("events.accept", events[0].traceparent):
                accepted = await self._events.append(publish)
        except asyncio.CancelledError:
            # The caller went away, yet the commit may stand: the deliveries shall not wait for the
            # engine to find them by itself.
            self._background.start("publish.wake", self._wake_later(publish), needed=False)
            raise
        except StoreUnavailable:
            self._engine.store_refused()
            raise
        self._engine.accepted(accepted)
        self._count(tenant, accepted)
        self._telemetry.measure("publish_seconds", self._clock.monotonic() - began)
        return accepted

    async def accept_each(
        self, tenant: TenantId, events: tuple[Event, ...]
    ) -> Sequence[Accepted | EventIdReused]:
        """Accept events that check() let pass in one commit, but each for itself.

        Where one cannot be accepted they are halved until it is alone, so that all others are, and
        in their order.
        """
        try:
            return await self.accept(tenant, events)
        except EventIdReused as error:
            if len(events) == 1:
                return (error,)
        half = len(events) // 2
        first = await self.accept_each(tenant, events[:half])
        return (*first, *await self.accept_each(tenant, events[half:]))

    async def validate(self, draft: PublishDraft) -> Sequence[Accepted]:
        """Answer what publish would, as far as it can be known, and store nothing."""
        await read_through(payload_bytes(draft.events), self.check, draft)
        await catch_up(self._index, self._subscriptions)
        seen: dict[EventId, Event] = {}
        return [await self._validated(event, seen) for event in draft.events]

    def _count(self, tenant: TenantId, accepted: Sequence[Accepted]) -> None:
        duplicates = sum([one.duplicate for one in accepted])
        if duplicates:
            self._telemetry.count("events", tenant, "duplicate", amount=duplicates)
        self._telemetry.count("events", tenant, "accepted", amount=len(accepted) - duplicates)

    def check(self, draft: PublishDraft) -> None:
        """Raise InvalidArgument with all that is wrong, NotFound where there is no such tenant."""
        known(draft.tenant)
        violations = Violations(draft.unreadable)
        events = draft.events
        if not 1 <= len(events) <= MAX_BATCH_EVENTS:
            problem = f"must have 1 to {MAX_BATCH_EVENTS} events, has {len(events)}"
            violations.add("events", problem)
            violations.raise_any()
        violations.prefix = "events" if draft.is_batch else "event."
        for position, event in enumerate(events):
            violations.position = position if draft.is_batch else None
            self.check_event(event, violations, is_struct=position in draft.structs)
            if violations.is_full:
                break
        violations.prefix, violations.position = "", None
        if draft.is_batch and (size := payload_bytes(events)) > MAX_BATCH_BYTES:
            violations.add(
                "events",
                f"must have at most {MAX_BATCH_BYTES} bytes of payloads, have {size}",
                "PAYLOAD_TOO_LARGE",
                limit_bytes=str(MAX_BATCH_BYTES),
            )
        violations.raise_any()

    def check_event(self, event: Event, violations: Violations, *, is_struct: bool) -> None:
        """Take all down that is wrong with one event; is_struct where its payload came as data."""
        payload_field = "data" if is_struct else "data_json" if event.is_json else "data_bytes"
        check_event(event, payload_field, self._largest_payload, violations)

    def _with_ids(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        missing = sum([not event.id for event in events])
        if not missing:
            return events
        ids = iter(self._ids.events(missing))
        return tuple([event if event.id else event.identified(next(ids)) for event in events])

    async def _validated(self, event: Event, seen: dict[EventId, Event]) -> Accepted:
        if event.id:
            first = seen.get(event.id) or await self._stored(event)
            if first is not None:
                return _duplicate(event, first)
        matched = len(self._index.match(event.tenant, event.event_type))
        counted = event._replace(delivery_count=matched)
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
        for count, number in enumerate(numbers):
            if count % _WOKEN_AT_ONCE == 0:
                # An event may have 100,000 of them, and others want to be served in between.
                await self._clock.sleep(0)
            self._engine.wake(number)


def _duplicate(event: Event, first: Event) -> Accepted:
    if content_hash(event) != content_hash(first):
        message = f"an event with the id {event.id} and other content exists already"
        raise EventIdReused("webhooks.v1.Event", event.name, message)
    return Accepted(event=first, duplicate=True)
