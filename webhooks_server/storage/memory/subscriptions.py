"""Subscriptions in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from typing_extensions import override

from webhooks_server.domain.delivery import Trigger
from webhooks_server.domain.errors import EtagMismatch
from webhooks_server.domain.event import Event, content_hash
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import SubscriptionId, SubscriptionNumber, TenantId, Version
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.match_index import MATCHING
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.patterns import candidates
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import PARTITIONS, Changes, Subscription, buried
from webhooks_server.domain.times import Instant
from webhooks_server.ports import SubscriptionStore
from webhooks_server.storage.memory.rows import FanOut, Rows
from webhooks_server.storage.memory.terms import Value, meets, newest_first
from webhooks_server.storage.pages import subscription_size
from webhooks_server.storage.refusals import id_taken, no_subscription, same_target


class MemorySubscriptions(SubscriptionStore):
    """The port SubscriptionStore."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @override
    async def create(
        self,
        subscription: Subscription,
        *,
        request: RequestKey | None = None,
        dry_run: bool = False,
    ) -> Subscription:
        rows = self._rows
        if (answer := rows.first_answer(request)) is not None:
            return cast("Subscription", answer)
        if (subscription.tenant, subscription.id) in rows.subscription_numbers:
            raise id_taken(subscription)
        self._check_target(subscription)
        number = SubscriptionNumber(len(rows.subscriptions) + 1)
        stored = replace(
            subscription,
            number=number,
            partition=number % PARTITIONS,
            version=Version(rows.version + 1),
        )
        if not dry_run:
            rows.next_version()
            rows.subscriptions[number] = stored
            rows.subscription_numbers[stored.tenant, stored.id] = number
            rows.remember(request, stored)
        return stored

    @override
    async def get(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        return self._live(tenant, subscription)

    @override
    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest
    ) -> Page[Subscription]:
        found = (
            one
            for one in self._rows.subscriptions.values()
            if not one.deleted and tenant in (None, one.tenant) and meets(terms, _fields(one))
        )
        return newest_first(found, page, key=lambda one: one.number, size=subscription_size)

    @override
    async def update(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        change: Callable[[Subscription], Subscription],
        *,
        request: RequestKey | None = None,
        telling: Event | None = None,
        dry_run: bool = False,
    ) -> Subscription:
        rows = self._rows
        if (answer := rows.first_answer(request)) is not None:
            return cast("Subscription", answer)
        current = self._live(tenant, subscription)
        changed = change(current)
        if changed != current:
            changed = replace(
                changed,
                number=current.number,
                partition=current.partition,
                version=Version(rows.version + 1),
                update_time=rows.now(),
            )
            self._check_target(changed)
            if not dry_run:
                rows.next_version()
                rows.subscriptions[changed.number] = changed
                if changed.active and not current.active:
                    rows.failures.pop(changed.number, None)
                if telling is not None:
                    self._tell(telling)
        if not dry_run:
            rows.remember(request, changed)
        return changed

    @override
    async def delete(
        self, tenant: TenantId, subscription: SubscriptionId, etag: str = ""
    ) -> Subscription:
        rows = self._rows
        current = self._live(tenant, subscription)
        if etag and etag != current.etag:
            raise EtagMismatch(current.etag)
        rows.subscriptions[current.number] = replace(
            buried(current), version=rows.next_version(), update_time=rows.now()
        )
        rows.failures.pop(current.number, None)
        return current

    @override
    async def load(self, numbers: Sequence[SubscriptionNumber]) -> Sequence[Subscription]:
        known = self._rows.subscriptions
        return [known[number] for number in dict.fromkeys(numbers) if number in known]

    @override
    async def changes(self, since: Version) -> Changes:
        return self._rows.changes(since)

    @override
    async def note_failing(self, lanes: Sequence[LaneFailing]) -> None:
        now = self._rows.now()
        for one in lanes:
            if one.subscription in self._rows.subscriptions:
                until = Instant(now + one.open_for if one.open_for else 0)
                self._rows.failing[one.subscription] = (one.level, until)

    def _tell(self, event: Event) -> None:
        wanted = set(candidates(event.event_type))
        numbers = [
            one.number
            for one in self._rows.subscriptions.values()
            if one.tenant == event.tenant
            and not one.deleted
            and one.state in MATCHING
            and wanted.intersection(one.events)
        ]
        seq = self._rows.add_event(event, content_hash(event), len(numbers)).seq
        if numbers:
            self._rows.fan_outs[seq] = FanOut(numbers=numbers, trigger=Trigger.PUBLISH)

    def _live(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        number = self._rows.subscription_numbers.get((tenant, subscription))
        if number is None or self._rows.subscriptions[number].deleted:
            raise no_subscription(tenant, subscription)
        return self._rows.subscriptions[number]

    def _check_target(self, subscription: Subscription) -> None:
        for other in self._rows.subscriptions.values():
            if (
                not other.deleted
                and other.id != subscription.id
                and other.tenant == subscription.tenant
                and other.config.url == subscription.config.url
                and set(other.events) == set(subscription.events)
            ):
                raise same_target(other.name)


def _fields(subscription: Subscription) -> dict[str, Value]:
    return {
        "state": subscription.state,
        "events": subscription.events,
        "creator": subscription.creator,
        "config.url": subscription.config.url,
    }
