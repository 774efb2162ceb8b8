"""Deliveries and attempts on SQL, as callers see them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, select, text
from typing_extensions import override

from webhooks_server.domain.delivery import (
    Attempt,
    Delivery,
    DeliveryCounts,
    FirstDelivery,
    Trigger,
)
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import EventSeq, SubscriptionId, SubscriptionNumber, TenantId
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.times import Instant
from webhooks_server.ports import DeliveryStore
from webhooks_server.storage.pages import attempt_size, delivery_size, page_of
from webhooks_server.storage.refusals import (
    check_retryable,
    no_subscription,
)
from webhooks_server.storage.sql.accept import unpack_numbers
from webhooks_server.storage.sql.counts import FIRST, Mark, count_newest, count_pending
from webhooks_server.storage.sql.database import Now, Reads, Transactions
from webhooks_server.storage.sql.event_names import find_events, named_event
from webhooks_server.storage.sql.filters import filtered, narrowed, on_column
from webhooks_server.storage.sql.named_delivery import NamedDelivery
from webhooks_server.storage.sql.requests import first_answer, remember
from webhooks_server.storage.sql.rows.attempts import BASIC_ATTEMPT, WHOLE_ATTEMPT, attempt_of
from webhooks_server.storage.sql.rows.deliveries import (
    answer_of,
    delivery_of,
    delivery_of_answer,
    select_deliveries,
)
from webhooks_server.storage.sql.rows.subscriptions import subscription_of
from webhooks_server.storage.sql.scan import scan_page
from webhooks_server.storage.sql.schema import attempts, deliveries, events, fanouts, subscriptions
from webhooks_server.storage.transitions import DeliveryRow, cancel_by_hand, retry_by_hand

_FIELDS = {
    "state": on_column(deliveries.c.state),
    "trigger": on_column(deliveries.c.trigger),
    "event_type": on_column(events.c.event_type),
    "event": on_column(events.c.id),
    "create_time": on_column(deliveries.c.create_time),
    "complete_time": on_column(deliveries.c.complete_time),
}


# By the index of what is pending: what became final is never looked at.
_PENDING = text("""
    SELECT count(*) FROM subscriptions
    JOIN deliveries ON deliveries.state = 1 AND deliveries.partition = subscriptions.partition
      AND deliveries.subscription = subscriptions.number
    WHERE subscriptions.tenant = :tenant AND subscriptions.id = :subscription
""")


class SqlDeliveries(DeliveryStore):
    """The port DeliveryStore."""

    def __init__(self, transactions: Transactions, readers: Reads, now: Now) -> None:
        self._transactions = transactions
        self._readers = readers
        self._now = now

    @override
    async def get(
        self, tenant: TenantId, subscription: SubscriptionId, uid: bytes, *, full: bool
    ) -> Delivery:
        name = NamedDelivery(tenant, subscription, uid)
        return await self._readers.run(
            lambda connection: delivery_of(name.read(connection, full=full))
        )

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
        query = filtered(select_deliveries(full=full), terms, _FIELDS)
        event = named_event(terms)

        def read(connection: Connection) -> Page[Delivery]:
            narrower = query
            if subscription is not None:
                numbers = _numbers(connection, tenant, subscription)
                if not numbers:
                    raise no_subscription(tenant, subscription)
                narrower = narrower.where(deliveries.c.subscription.in_(numbers))
            if tenant is not None:
                narrower = narrower.where(deliveries.c.tenant == tenant)
            if event is not None:
                seqs = find_events(connection, tenant, event)
                if not seqs:
                    return Page(items=(), next_before=None)
                narrower = narrower.where(deliveries.c.event_seq.in_(seqs))
                return _page_of_event(connection, narrower, page)
            return scan_page(
                connection,
                narrower,
                deliveries.c.seq,
                page,
                delivery_of,
                key_of=lambda one: one.seq,
                size_of=delivery_size,
            )

        return await self._readers.run(read)

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
        name = NamedDelivery(tenant, subscription, uid)

        def read(connection: Connection) -> Page[Attempt]:
            seq = name.read(connection, full=False)["seq"]
            query = select(*(WHOLE_ATTEMPT if full else BASIC_ATTEMPT)).where(
                attempts.c.delivery_seq == seq
            )
            query = narrowed(query, (), {}, attempts.c.number, page)
            found = map(attempt_of, connection.execute(query).mappings())
            return page_of(found, page, key=lambda one: one.number, size=attempt_size)

        return await self._readers.run(read)

    @override
    async def of_event(
        self, event: EventSeq, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, FirstDelivery]:
        owed = select(fanouts).where(fanouts.c.event_seq == event)
        query = select(deliveries.c.subscription, deliveries.c.trigger, deliveries.c.uid).where(
            deliveries.c.event_seq == event,
            deliveries.c.subscription.in_(list(subscriptions)),
            deliveries.c.replay == 0,
        )

        def read(connection: Connection) -> Mapping[SubscriptionNumber, FirstDelivery]:
            found: dict[SubscriptionNumber, FirstDelivery] = {}
            # What is owed comes first: a row that is written in between is then found as well.
            for fan_out in connection.execute(owed):
                rest = set(unpack_numbers(fan_out.numbers)[fan_out.position :])
                waiting = FirstDelivery(trigger=Trigger(fan_out.trigger), uid=None)
                found = {number: waiting for number in subscriptions if number in rest}
            for number, trigger, uid in connection.execute(query):
                found[number] = FirstDelivery(trigger=Trigger(trigger), uid=uid)
            return found

        return await self._readers.run(read)

    @override
    async def retry(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        uid: bytes,
        *,
        request: RequestKey | None = None,
    ) -> Delivery:
        name = NamedDelivery(tenant, subscription, uid)

        def script(connection: Connection) -> Delivery:
            now = self._now(connection)
            if answer := first_answer(connection, request, now):
                return delivery_of_answer(answer)
            changed = name.change(connection, _retry, now)
            remember(connection, request, answer_of(changed), now)
            return delivery_of(changed)

        return await self._transactions.transact(script)

    @override
    async def cancel(self, tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> Delivery:
        name = NamedDelivery(tenant, subscription, uid)
        return await self._transactions.transact(
            lambda connection: delivery_of(name.change(connection, _cancel, self._now(connection)))
        )

    @override
    async def counts(self, tenant: TenantId | None) -> DeliveryCounts:
        found = await self._readers.run(partial(count_newest, tenant=tenant))
        pending, retrying = 0, 0
        oldest: list[Instant] = []
        mark: Mark | None = FIRST
        while mark is not None:
            span = await self._readers.run(partial(count_pending, tenant=tenant, after=mark))
            pending += span.found
            retrying += span.retrying
            oldest += [] if span.oldest is None else [span.oldest]
            mark = span.rest
        return replace(
            found,
            pending=pending,
            retrying=retrying,
            oldest_pending_time=min(oldest, default=None),
        )

    @override
    async def pending(self, tenant: TenantId, subscription: SubscriptionId) -> int:
        values = {"tenant": tenant, "subscription": subscription}
        return await self._readers.run(
            lambda connection: connection.execute(_PENDING, values).scalar_one()
        )


def _retry(connection: Connection, row: DeliveryRow, now: Instant) -> DeliveryRow:
    query = select(subscriptions).join(
        deliveries, deliveries.c.subscription == subscriptions.c.number
    )
    found = connection.execute(query.where(deliveries.c.seq == row.seq)).mappings().one()
    check_retryable(row, subscription_of(found))
    return retry_by_hand(row, now)


def _cancel(_: Connection, row: DeliveryRow, now: Instant) -> DeliveryRow:
    return cancel_by_hand(row, now)


def _page_of_event(connection: Connection, query: Select[Any], page: PageRequest) -> Page[Delivery]:
    # By the index of the event: by that of seqs all deliveries might be looked at for a few. A sum
    # has no index.
    query = narrowed(query, (), {}, deliveries.c.seq + 0, page)
    found = map(delivery_of, connection.execute(query).mappings())
    return page_of(found, page, key=lambda one: one.seq, size=delivery_size)


def _numbers(
    connection: Connection, tenant: TenantId | None, subscription: SubscriptionId
) -> list[int]:
    query = select(subscriptions.c.number).where(subscriptions.c.id == subscription)
    if tenant is not None:
        query = query.where(subscriptions.c.tenant == tenant)
    return list(connection.execute(query).scalars())
