"""Deliveries as they are read back, and what can be done to one by hand."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from webhooks_server.domain.delivery import Attempt, Delivery, DeliveryState, Reason, Trigger
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
        return (await self._with_reasons([found]))[0]

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
        return replace(found, items=await self._with_reasons(found.items))

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
        return (await self._with_reasons([retried]))[0]

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

    async def _with_reasons(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Say of those that are held why: a store knows only why one is final."""
        reasons: dict[tuple[TenantId, SubscriptionId], str] = {}
        answered: list[Delivery] = []
        for delivery in deliveries:
            if delivery.state is not DeliveryState.PENDING:
                answered.append(delivery)
                continue
            key = (delivery.tenant, delivery.subscription)
            if key not in reasons:
                reasons[key] = await self._held_reason(*key)
            answered.append(replace(delivery, state_reason=reasons[key]))
        return answered

    async def _held_reason(self, tenant: TenantId, subscription: SubscriptionId) -> str:
        try:
            found = await self._subscriptions.get(tenant, subscription)
        except NotFound:
            return Reason.DELETED
        if found.state is not State.ACTIVE:
            return found.state.name.lower()
        return "" if self._index.pause_of(tenant) is None else State.PAUSED.name.lower()

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
