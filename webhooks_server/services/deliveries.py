"""Deliveries as they are read back, and what can be done to one by hand."""

import contextlib
from dataclasses import dataclass, replace

from webhooks_server.domain.delivery import Attempt, Delivery, DeliveryState, Trigger
from webhooks_server.domain.errors import NotFound
from webhooks_server.domain.filters import Field, Kind, Term, parse_filter
from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import State
from webhooks_server.ports import DeliveryStore, Engine, SubscriptionStore, Telemetry
from webhooks_server.services.tenants import known, known_or_all

FILTER_FIELDS = {
    "state": Field(
        kind=Kind.CHOICE, choices={f"STATE_{state.name}": state for state in DeliveryState}
    ),
    "trigger": Field(
        kind=Kind.CHOICE, choices={f"TRIGGER_{trigger.name}": trigger for trigger in Trigger}
    ),
    "event_type": Field(kind=Kind.TEXT),
    "event": Field(kind=Kind.TEXT),
    "create_time": Field(kind=Kind.TIME),
    "complete_time": Field(kind=Kind.TIME),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryKey:
    """Names one delivery."""

    tenant: TenantId
    subscription: SubscriptionId
    uid: bytes


class Deliveries:
    """What became of the events."""

    def __init__(
        self,
        *,
        deliveries: DeliveryStore,
        subscriptions: SubscriptionStore,
        engine: Engine,
        index: MatchIndex,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports."""
        self._store = deliveries
        self._subscriptions = subscriptions
        self._engine = engine
        self._index = index
        self._telemetry = telemetry

    async def get(self, key: DeliveryKey, *, full: bool) -> Delivery:
        """Return a delivery; raises NotFound."""
        found = await self._store.get(known(key.tenant), key.subscription, key.uid, full=full)
        return self._with_reason(found)

    async def list(
        self,
        tenant: TenantId | None,
        subscription: SubscriptionId | None,
        filter_text: str,
        page: PageRequest,
        *,
        full: bool,
    ) -> Page[Delivery]:
        """Return a page, the newest first; None reads all tenants or subscriptions."""
        terms = [_by_event_id(term) for term in parse_filter(filter_text, FILTER_FIELDS)]
        found = await self._store.list(known_or_all(tenant), subscription, terms, page, full=full)
        return replace(found, items=[self._with_reason(one) for one in found.items])

    async def attempts(self, key: DeliveryKey, page: PageRequest, *, full: bool) -> Page[Attempt]:
        """Return a page of a delivery's attempts, the newest first; raises NotFound."""
        return await self._store.attempts(
            known(key.tenant), key.subscription, key.uid, page, full=full
        )

    async def retry(self, key: DeliveryKey, request: RequestKey | None) -> Delivery:
        """Make a delivery due now; raises what DeliveryStore.retry does."""
        retried = await self._store.retry(
            known(key.tenant), key.subscription, key.uid, request=request
        )
        await self._wake(key)
        self._told("delivery.retried", retried)
        return self._with_reason(retried)

    async def cancel(self, key: DeliveryKey) -> Delivery:
        """Give up a pending delivery; a final one stays as it is. Raises NotFound."""
        cancelled = await self._store.cancel(known(key.tenant), key.subscription, key.uid)
        await self._wake(key)
        self._told("delivery.cancelled", cancelled)
        return cancelled

    async def _wake(self, key: DeliveryKey) -> None:
        # Deleted since then: nothing is left to be sent.
        with contextlib.suppress(NotFound):
            subscription = await self._subscriptions.get(key.tenant, key.subscription)
            self._engine.wake(subscription.number)

    def _with_reason(self, delivery: Delivery) -> Delivery:
        """Say of one that the relay's pause holds why: a store knows its subscription alone."""
        if delivery.state is not DeliveryState.PENDING or delivery.state_reason:
            return delivery
        if self._index.pause_of(delivery.tenant) is None:
            return delivery
        return replace(delivery, state_reason=State.PAUSED.name.lower())

    def _told(self, fact: str, delivery: Delivery) -> None:
        self._telemetry.fact(
            fact,
            tenant=delivery.tenant,
            subscription=delivery.subscription,
            delivery=delivery.id,
        )


def _by_event_id(term: Term) -> Term:
    """Take an event's resource name, as deliveries show it, for its id."""
    if term.field != "event" or not isinstance(term.value, str):
        return term
    return replace(term, value=term.value.rpartition("/")[2])
