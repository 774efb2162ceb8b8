"""Deliveries and attempts in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from typing_extensions import override

from webhooks_server.domain.delivery import (
    Attempt,
    Delivery,
    DeliveryCounts,
    DeliveryState,
    FirstDelivery,
)
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import EventSeq, SubscriptionId, SubscriptionNumber, TenantId
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import held_reason
from webhooks_server.ports import DeliveryStore
from webhooks_server.storage import pages
from webhooks_server.storage.memory.rows import Rows, StoredDelivery
from webhooks_server.storage.memory.terms import Value, meets, newest_first
from webhooks_server.storage.pages import attempt_size, delivery_size
from webhooks_server.storage.refusals import check_retryable, no_delivery, no_subscription
from webhooks_server.storage.transitions import cancel_by_hand, retry_by_hand


class MemoryDeliveries(DeliveryStore):
    """The port DeliveryStore."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @override
    async def get(
        self, tenant: TenantId, subscription: SubscriptionId, uid: bytes, *, full: bool
    ) -> Delivery:
        return self._shown(self._find(tenant, subscription, uid), full=full)

    @override
    async def list(
        self,
        tenant: TenantId | None,
        subscription: SubscriptionId | None,
        terms: Sequence[Term],
        page: PageRequest,
        *,
        full: bool,
    ) -> Page[Delivery]:
        self._check_subscription(tenant, subscription)
        shown = (
            self._shown(one, full=full)
            for one in self._rows.deliveries.values()
            if tenant in (None, one.tenant)
        )
        found = (
            one
            for one in shown
            if subscription in (None, one.subscription) and meets(terms, _fields(one))
        )
        return newest_first(found, page, key=lambda one: one.seq, size=delivery_size)

    @override
    async def attempts(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        uid: bytes,
        page: PageRequest,
        *,
        full: bool,
    ) -> Page[Attempt]:
        seq = self._find(tenant, subscription, uid).row.seq
        made = self._rows.attempts.get(seq, [])
        return newest_first(
            (one if full else _basic(one) for one in made),
            page,
            key=lambda one: one.number,
            size=attempt_size,
        )

    @override
    async def of_event(
        self, event: EventSeq, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, FirstDelivery]:
        rows = self._rows
        found: dict[SubscriptionNumber, FirstDelivery] = {}
        if fan_out := rows.fan_outs.get(event):
            rest = set(fan_out.numbers[fan_out.position :])
            waiting = FirstDelivery(trigger=fan_out.trigger, uid=None)
            found = {number: waiting for number in subscriptions if number in rest}
        for number in subscriptions:
            if (seq := rows.first_deliveries.get((event, number))) is not None:
                stored = rows.deliveries[seq]
                found[number] = FirstDelivery(trigger=stored.trigger, uid=stored.row.uid)
        return found

    @override
    async def retry(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        uid: bytes,
        *,
        request: RequestKey | None = None,
    ) -> Delivery:
        rows = self._rows
        if (answer := rows.first_answer(request)) is not None:
            return cast("Delivery", answer)
        stored = self._find(tenant, subscription, uid)
        check_retryable(stored.row, rows.subscriptions[stored.subscription])
        stored.row = retry_by_hand(stored.row, rows.now())
        shown = self._shown(stored, full=False)
        rows.remember(request, shown)
        return shown

    @override
    async def cancel(self, tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> Delivery:
        stored = self._find(tenant, subscription, uid)
        stored.row = cancel_by_hand(stored.row, self._rows.now())
        return self._shown(stored, full=False)

    @override
    async def counts(self, tenant: TenantId | None) -> DeliveryCounts:
        counted = [one for one in self._rows.deliveries.values() if tenant in (None, one.tenant)]
        pending = [one for one in counted if one.row.state is DeliveryState.PENDING]
        last = self._rows.last_delivery - pages.MOST_COUNTED
        newest = [one for one in counted if one.row.seq > last]
        states = [one.row.state for one in newest]
        return DeliveryCounts(
            pending=len(pending),
            retrying=sum(one.row.attempt_count > 0 for one in pending),
            succeeded=states.count(DeliveryState.SUCCEEDED),
            failed=states.count(DeliveryState.FAILED),
            cancelled=states.count(DeliveryState.CANCELLED),
            expired=states.count(DeliveryState.EXPIRED),
            attempts=sum(one.row.attempt_count for one in newest),
            oldest_pending_time=min((one.create_time for one in pending), default=None),
        )

    @override
    async def pending(self, tenant: TenantId, subscription: SubscriptionId) -> int:
        number = self._rows.subscription_numbers.get((tenant, subscription))
        return sum(
            one.subscription == number and one.row.state is DeliveryState.PENDING
            for one in self._rows.deliveries.values()
        )

    def _find(self, tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> StoredDelivery:
        rows = self._rows
        number = rows.subscription_numbers.get((tenant, subscription))
        seq = rows.delivery_seqs.get(uid)
        if seq is None or rows.deliveries[seq].subscription != number:
            raise no_delivery(tenant, subscription, uid)
        return rows.deliveries[seq]

    def _check_subscription(
        self, tenant: TenantId | None, subscription: SubscriptionId | None
    ) -> None:
        if subscription is None:
            return
        known = self._rows.subscription_numbers
        if not any(one == subscription and tenant in (None, owner) for owner, one in known):
            raise no_subscription(tenant, subscription)

    def _shown(self, stored: StoredDelivery, *, full: bool) -> Delivery:
        rows, row = self._rows, stored.row
        event = rows.events[stored.event_seq]
        subscription = rows.subscriptions[stored.subscription]
        pending = row.state is DeliveryState.PENDING
        held = held_reason(subscription.state, deleted=subscription.deleted)
        made = rows.attempts.get(row.seq)
        last = made[-1] if made else None
        return Delivery(
            seq=row.seq,
            uid=row.uid,
            tenant=stored.tenant,
            subscription=subscription.id,
            event=event.id,
            event_type=event.event_type,
            state=row.state,
            trigger=stored.trigger,
            attempt_count=row.attempt_count,
            create_time=stored.create_time,
            state_reason=held if pending else row.reason,
            next_attempt_time=row.next_attempt_time,
            complete_time=row.complete_time,
            last_attempt=last if full or last is None else _basic(last),
        )


def _basic(attempt: Attempt) -> Attempt:
    return replace(attempt, request_headers={}, response_headers={}, response_body=b"")


def _fields(delivery: Delivery) -> dict[str, Value]:
    return {
        "state": delivery.state,
        "trigger": delivery.trigger,
        "event_type": delivery.event_type,
        "event": delivery.event,
        "create_time": delivery.create_time,
        "complete_time": delivery.complete_time,
    }
