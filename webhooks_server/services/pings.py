"""Pings and test events: real events that go to one subscription alone (api.md 1.4)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from webhooks_server.domain.delivery import Attempt, Delivery, Trigger
from webhooks_server.domain.errors import (
    NoEngine,
    NotFound,
    RelayIsPaused,
    ServerOverloaded,
    SubscriptionIsDisabled,
    Violation,
)
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import IdSource, SubscriptionId, TenantId, delivery_id
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.patterns import PING
from webhooks_server.domain.subscription import JSON_CONTENT_TYPE, State, Subscription
from webhooks_server.domain.times import SECOND
from webhooks_server.ports import DeliveryStore, Engine, EventStore, SubscriptionStore
from webhooks_server.services.background import Background
from webhooks_server.services.catching_up import catch_up
from webhooks_server.services.event_checks import check_event, read_through
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations

MAX_PINGS = 32
"""Pings at the same time, beside the engine's slots: the relay has a place for each."""
_OWN_TIME = 10 * SECOND
"""What a ping may take beside its request; then the engine sends it like any other delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PingResult:
    """The one attempt of a ping, and the resource name of its delivery."""

    delivery_name: str
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDraft:
    """A test event; `payload` is JSON text in UTF-8."""

    tenant: TenantId
    subscription: SubscriptionId
    event_type: str
    payload: bytes
    unreadable: tuple[Violation, ...] = ()


class Pings:
    """Sends what a subscription gets without having matched."""

    def __init__(
        self,
        *,
        largest_payload: int,
        subscriptions: SubscriptionStore,
        events: EventStore,
        deliveries: DeliveryStore,
        engine: Engine,
        index: MatchIndex,
        ids: IdSource,
        background: Background,
    ) -> None:
        """Take the ports; largest_payload in bytes."""
        self._largest_payload = largest_payload
        self._subscriptions = subscriptions
        self._events = events
        self._deliveries = deliveries
        self._engine = engine
        self._index = index
        self._ids = ids
        self._background = background
        self.running = 0
        """Pings that somebody waits for."""

    async def ping(self, tenant: TenantId, subscription: SubscriptionId) -> PingResult:
        """Make one attempt at once and return it.

        Raises NotFound, SubscriptionIsDisabled, RelayIsPaused, NoEngine, ServerOverloaded.
        """
        found = await self._enabled(tenant, subscription)
        await catch_up(self._index, self._subscriptions)
        if self._index.pause_of(tenant) is not None:
            raise RelayIsPaused(f"tenants/{tenant}")
        if not self._engine.status():
            raise NoEngine(found.name)
        # A request that is on its way is recorded even where nobody waits for it any more.
        return await self._background.shielded("subscription.ping", self._send(found))

    def ping_later(self, subscription: Subscription) -> None:
        """Ping a new subscription in its turn, like any delivery; nobody waits for it."""
        self._background.start("subscription.ping", self._enqueue(subscription))

    async def test(self, draft: TestDraft) -> Delivery:
        """Accept an event for this subscription alone; returns its delivery, not yet attempted."""
        known(draft.tenant)
        event = self._event(draft.tenant, draft.event_type, draft.payload)
        violations = Violations(draft.unreadable)
        await read_through(
            event.payload_size, check_event, event, "data", self._largest_payload, violations
        )
        violations.raise_any()
        found = await self._enabled(draft.tenant, draft.subscription)
        publish = Publish(
            tenant=found.tenant, events=(event,), only=found.number, trigger=Trigger.TEST
        )
        # It may have been created a moment ago, at another server.
        await catch_up(self._index, self._subscriptions)
        accepted = await self._events.append(publish)
        try:
            uid = _only_delivery(accepted[0], found)
            return await self._deliveries.get(found.tenant, found.id, uid, full=False)
        finally:
            self._engine.accepted(accepted)

    async def _enabled(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        found = await self._subscriptions.get(known(tenant), subscription)
        if found.state is State.DISABLED:
            raise SubscriptionIsDisabled(found.name)
        return found

    async def _send(self, subscription: Subscription) -> PingResult:
        # Before anything is stored: a ping that had to wait would be taken for one that was lost.
        if self.running >= MAX_PINGS:
            raise ServerOverloaded
        self.running += 1
        try:
            accepted = await self._append(subscription, subscription.config.timeout + _OWN_TIME)
            uid = _only_delivery(accepted[0], subscription)
            attempt = await self._engine.send_now(subscription, accepted[0])
        finally:
            self.running -= 1
        name = f"{subscription.name}/deliveries/{delivery_id(uid)}"
        return PingResult(delivery_name=name, attempt=attempt)

    async def _enqueue(self, subscription: Subscription) -> None:
        await catch_up(self._index, self._subscriptions)
        self._engine.accepted(await self._append(subscription, first_due_delay=0))

    async def _append(self, subscription: Subscription, first_due_delay: int) -> Sequence[Accepted]:
        body = {"subscription": subscription.name, "events": subscription.events}
        payload = json.dumps(body, separators=(",", ":")).encode()
        publish = Publish(
            tenant=subscription.tenant,
            events=(self._event(subscription.tenant, PING, payload),),
            only=subscription.number,
            trigger=Trigger.PING,
            first_due_delay=first_due_delay,
        )
        return await self._events.append(publish)

    def _event(self, tenant: TenantId, event_type: str, payload: bytes) -> Event:
        return Event(
            tenant=tenant,
            id=self._ids.event(),
            event_type=event_type,
            payload=payload,
            is_json=True,
            content_type=JSON_CONTENT_TYPE,
            payload_size=len(payload),
        )


def _only_delivery(accepted: Accepted, subscription: Subscription) -> bytes:
    if not accepted.deliveries:
        # It was deleted after it was read.
        raise NotFound("webhooks.v1.Subscription", subscription.name)
    return accepted.deliveries[0].uid
