"""Events as they are read back, and what subscriptions make of them."""

from dataclasses import dataclass, replace

from webhooks_server.domain.delivery import FirstDelivery, Trigger
from webhooks_server.domain.errors import Violation
from webhooks_server.domain.event import Event
from webhooks_server.domain.filters import Field, Kind, parse_filter
from webhooks_server.domain.ids import EventId, TenantId, delivery_id
from webhooks_server.domain.match_index import Explanation, MatchIndex
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.ports import DeliveryStore, EventStore, SubscriptionStore
from webhooks_server.services.catching_up import catch_up
from webhooks_server.services.event_checks import check_event, read_through
from webhooks_server.services.tenants import known, known_or_all
from webhooks_server.services.violations import Violations

FILTER_FIELDS = {
    "event_type": Field(kind=Kind.TEXT),
    "create_time": Field(kind=Kind.TIME),
    "subject": Field(kind=Kind.TEXT),
    "source": Field(kind=Kind.TEXT),
}
_NOT_THEN = "a pattern matches now, but the event was not for it when it was accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainDraft:
    """An event that is not published, given as `event_input`.

    `payload_field` is the one that held the payload. `unreadable` holds what the front door found
    wrong.
    """

    event: Event
    payload_field: str
    unreadable: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What a subscription makes of an event, and the name of its delivery if there is one."""

    explanation: Explanation
    delivery_name: str = ""


class Events:
    """Reads events."""

    def __init__(
        self,
        *,
        largest_payload: int,
        events: EventStore,
        subscriptions: SubscriptionStore,
        deliveries: DeliveryStore,
        index: MatchIndex,
    ) -> None:
        """Take the ports; largest_payload in bytes."""
        self._largest_payload = largest_payload
        self._events = events
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._index = index

    async def get(self, tenant: TenantId, event: EventId) -> Event:
        """Return an event with its payload; raises NotFound."""
        return await self._events.get(known(tenant), event)

    async def list(
        self, tenant: TenantId | None, filter_text: str, page: PageRequest, *, full: bool
    ) -> Page[Event]:
        """Return a page, the newest first; None reads all tenants."""
        terms = parse_filter(filter_text, FILTER_FIELDS)
        return await self._events.list(known_or_all(tenant), terms, page, full=full)

    async def explain_stored(
        self, tenant: TenantId, event: EventId, page: PageRequest
    ) -> Page[Explained]:
        """Return what every subscription makes of a stored event, the newest first."""
        return await self._explained(await self._events.get(known(tenant), event), page)

    async def explain_draft(self, draft: ExplainDraft, page: PageRequest) -> Page[Explained]:
        """Return what every subscription would make of an event, the newest first."""
        known(draft.event.tenant)
        violations = Violations(draft.unreadable)
        violations.prefix = "event_input."
        await read_through(
            draft.event.payload_size,
            check_event,
            draft.event,
            draft.payload_field,
            self._largest_payload,
            violations,
        )
        violations.raise_any()
        return await self._explained(draft.event, page)

    async def _explained(self, event: Event, page: PageRequest) -> Page[Explained]:
        await catch_up(self._index, self._subscriptions)
        found = self._index.explain(
            event.tenant, event.event_type, before=page.before, count=page.size + 1
        )
        shown = found[: page.size]
        more = len(found) > len(shown)
        items = [Explained(explanation=one) for one in shown]
        if event.seq:
            numbers = [one.entry.number for one in shown]
            first = await self._deliveries.of_event(event.seq, numbers)
            items = [_of_stored(one, first.get(one.entry.number)) for one in shown]
        return Page(items=items, next_before=shown[-1].entry.number if more else None)


def _of_stored(now: Explanation, delivery: FirstDelivery | None) -> Explained:
    """Let the delivery decide: since then patterns, states and subscriptions may have changed.

    Nor is a ping or a test matched by anything: it goes to one subscription alone.
    """
    if delivery is None:
        reason = _NOT_THEN if now.matched else now.reason
        return Explained(explanation=replace(now, matched=False, reason=reason))
    is_matched = delivery.trigger is Trigger.PUBLISH
    reason = "a pattern matched" if is_matched else "the event was addressed to it"
    if delivery.uid is None:
        reason += "; its delivery is still to be written"
    pattern = now.pattern if is_matched else ""
    return Explained(
        explanation=replace(now, matched=True, reason=reason, pattern=pattern),
        delivery_name=_name(now.entry, delivery.uid) if delivery.uid else "",
    )


def _name(entry: IndexEntry, uid: bytes) -> str:
    return f"tenants/{entry.tenant}/subscriptions/{entry.id}/deliveries/{delivery_id(uid)}"
