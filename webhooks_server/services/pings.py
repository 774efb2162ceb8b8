"""Pings and test events: real events that go to one subscription alone (api.md 1.4)."""

import json
from dataclasses import dataclass

from webhooks_server.domain.delivery import Attempt, Delivery, Trigger
from webhooks_server.domain.errors import NotFound, SubscriptionIsDisabled, Violation
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import IdSource, SubscriptionId, TenantId, delivery_id
from webhooks_server.domain.patterns import PING
from webhooks_server.domain.subscription import JSON_CONTENT_TYPE, State, Subscription
from webhooks_server.domain.times import SECOND
from webhooks_server.ports import DeliveryStore, Engine, EventStore, SubscriptionStore
from webhooks_server.services.background import Background
from webhooks_server.services.event_checks import check_event, read_through
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations

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
        ids: IdSource,
        background: Background,
    ) -> None:
        """Take the ports; largest_payload in bytes."""
        self._largest_payload = largest_payload
        self._subscriptions = subscriptions
        self._events = events
        self._deliveries = deliveries
        self._engine = engine
        self._ids = ids
        self._background = background

    async def ping(self, tenant: TenantId, subscription: SubscriptionId) -> PingResult:
        """Make one attempt at once and return it; raises NotFound, SubscriptionIsDisabled."""
        found = await self._enabled(tenant, subscription)
        # A request that is on its way is recorded even where nobody waits for it any more.
        return await self._background.shielded("subscription.ping", self._send(found))

    def ping_later(self, subscription: Subscription) -> None:
        """Ping a new subscription without waiting; what comes of it changes nothing."""
        self._background.start("subscription.ping", self._send(subscription))

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
        body = {"subscription": subscription.name, "events": subscription.events}
        payload = json.dumps(body, separators=(",", ":")).encode()
        publish = Publish(
            tenant=subscription.tenant,
            events=(self._event(subscription.tenant, PING, payload),),
            only=subscription.number,
            trigger=Trigger.PING,
            first_due_delay=subscription.config.timeout + _OWN_TIME,
        )
        accepted = await self._events.append(publish)
        uid = _only_delivery(accepted[0], subscription)
        attempt = await self._engine.send_now(subscription, accepted[0])
        name = f"{subscription.name}/deliveries/{delivery_id(uid)}"
        return PingResult(delivery_name=name, attempt=attempt)

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
