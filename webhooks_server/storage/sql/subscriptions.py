"""Subscriptions on SQL. Each change takes the next control version first (engine.md, EA9)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from typing_extensions import override

from webhooks_server.domain.errors import EtagMismatch
from webhooks_server.domain.event import Event
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import SubscriptionId, SubscriptionNumber, TenantId, Version
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import PARTITIONS, Changes, Subscription, buried
from webhooks_server.domain.times import Instant
from webhooks_server.ports import SubscriptionStore
from webhooks_server.storage.pages import page_of, subscription_size
from webhooks_server.storage.refusals import id_taken, no_subscription, same_target
from webhooks_server.storage.sql.changes import hold_control, next_version, read_changes
from webhooks_server.storage.sql.database import Now, Reads, Transactions
from webhooks_server.storage.sql.dialects import Insertion, dialect_of
from webhooks_server.storage.sql.failing import forget_failures
from webhooks_server.storage.sql.filters import Condition, narrowed, on_column
from webhooks_server.storage.sql.requests import first_answer, remember
from webhooks_server.storage.sql.rows.subscriptions import (
    subscription_of,
    subscription_values,
    target_hash,
)
from webhooks_server.storage.sql.schema import subscription_patterns, subscriptions
from webhooks_server.storage.sql.telling import NewEvent, tell

_ALL = select(subscriptions)
_INSERT = insert(subscriptions)
_NOTE_FAILING = (
    update(subscriptions)
    .where(subscriptions.c.number == bindparam("lane"))
    .values(failing=bindparam("level"), breaker_time=bindparam("until"))
)
_INTO_PATTERNS = Insertion("subscription_patterns", ("subscription", "pattern", "tenant"))


def _has_pattern(term: Term) -> ColumnElement[bool]:
    return exists().where(
        subscription_patterns.c.subscription == subscriptions.c.number,
        subscription_patterns.c.pattern == term.value,
    )


_FIELDS: dict[str, Condition] = {
    "state": on_column(subscriptions.c.state),
    "events": _has_pattern,
    "creator": on_column(subscriptions.c.creator),
    "config.url": on_column(subscriptions.c.url),
}


class SqlSubscriptions(SubscriptionStore):
    """The port SubscriptionStore."""

    def __init__(
        self,
        transactions: Transactions,
        readers: Reads,
        engine_readers: Reads,
        now: Now,
        new_event: NewEvent,
    ) -> None:
        self._transactions = transactions
        self._readers = readers
        self._engine_readers = engine_readers
        self._now = now
        self._new_event = new_event

    @override
    async def create(
        self,
        subscription: Subscription,
        *,
        request: RequestKey | None = None,
        dry_run: bool = False,
    ) -> Subscription:
        def script(connection: Connection) -> Subscription:
            hold_control(connection)
            now = self._now(connection)
            if answer := first_answer(connection, request, now):
                return subscription_of(answer)
            if _exists(connection, subscription):
                raise id_taken(subscription)
            stored = _numbered(connection, subscription)
            _check_target(connection, stored)
            connection.execute(_INSERT, _row(stored))
            _insert_patterns(connection, stored)
            remember(connection, request, subscription_values(stored), now)
            return stored

        return await self._transactions.transact(script, dry_run=dry_run)

    @override
    async def get(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        return await self._readers.run(
            partial(_read_live, tenant=tenant, subscription=subscription)
        )

    @override
    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest
    ) -> Page[Subscription]:
        query = _ALL.where(subscriptions.c.deleted == 0)
        if tenant is not None:
            query = query.where(subscriptions.c.tenant == tenant)
        query = narrowed(query, terms, _FIELDS, subscriptions.c.number, page)

        def read(connection: Connection) -> Page[Subscription]:
            found = map(subscription_of, connection.execute(query).mappings())
            return page_of(found, page, key=lambda one: one.number, size=subscription_size)

        return await self._readers.run(read)

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
        seq = None if telling is None else self._new_event()

        def script(connection: Connection) -> Subscription:
            hold_control(connection)
            now = self._now(connection)
            if answer := first_answer(connection, request, now):
                return subscription_of(answer)
            current = _read_live(connection, tenant, subscription)
            changed = change(current)
            if changed != current:
                changed = replace(
                    changed,
                    number=current.number,
                    partition=current.partition,
                    version=next_version(connection),
                    update_time=now,
                )
                _write(connection, current, changed)
                if changed.active and not current.active:
                    forget_failures(connection, [changed.number])
                if telling is not None and seq is not None:
                    tell(connection, telling, seq(connection), now)
            remember(connection, request, subscription_values(changed), now)
            return changed

        return await self._transactions.transact(script, dry_run=dry_run)

    @override
    async def delete(
        self, tenant: TenantId, subscription: SubscriptionId, etag: str = ""
    ) -> Subscription:
        def script(connection: Connection) -> Subscription:
            hold_control(connection)
            current = _read_live(connection, tenant, subscription)
            if etag and etag != current.etag:
                raise EtagMismatch(current.etag)
            tombstone = replace(
                buried(current), version=next_version(connection), update_time=self._now(connection)
            )
            connection.execute(
                update(subscriptions)
                .where(subscriptions.c.number == current.number)
                .values(subscription_values(tombstone))
            )
            forget_failures(connection, [current.number])
            return current

        return await self._transactions.transact(script)

    @override
    async def load(self, numbers: Sequence[SubscriptionNumber]) -> Sequence[Subscription]:
        query = _ALL.where(subscriptions.c.number.in_(list(numbers)))
        return await self._engine_readers.run(
            lambda connection: [
                subscription_of(row) for row in connection.execute(query).mappings()
            ]
        )

    @override
    async def changes(self, since: Version) -> Changes:
        def read(connection: Connection) -> Changes:
            dialect_of(connection).begin_snapshot(connection)
            return read_changes(connection, since)

        return await self._engine_readers.run(read)

    @override
    async def note_failing(self, lanes: Sequence[LaneFailing]) -> None:
        def script(connection: Connection) -> None:
            now = self._now(connection)
            rows = [
                {"lane": one.subscription, "level": one.level, "until": _until(one, now)}
                # In one order, so that two engines do not wait for each other.
                for one in sorted(lanes, key=lambda lane: lane.subscription)
            ]
            connection.execute(_NOTE_FAILING, rows)

        if lanes:
            await self._transactions.transact(script)


def _until(lane: LaneFailing, now: Instant) -> int:
    return now + lane.open_for if lane.open_for else 0


def _read_live(
    connection: Connection, tenant: TenantId, subscription: SubscriptionId
) -> Subscription:
    row = (
        connection.execute(
            _ALL.where(
                subscriptions.c.tenant == tenant,
                subscriptions.c.id == subscription,
                subscriptions.c.deleted == 0,
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise no_subscription(tenant, subscription)
    return subscription_of(row)


def _exists(connection: Connection, subscription: Subscription) -> bool:
    query = select(subscriptions.c.number).where(
        subscriptions.c.tenant == subscription.tenant, subscriptions.c.id == subscription.id
    )
    return connection.execute(query).first() is not None


def _numbered(connection: Connection, subscription: Subscription) -> Subscription:
    # The partition is chosen here and stored, never computed again: their number may grow (EC7).
    last = connection.execute(select(func.max(subscriptions.c.number))).scalar_one() or 0
    number = SubscriptionNumber(last + 1)
    return replace(
        subscription,
        number=number,
        partition=number % PARTITIONS,
        version=next_version(connection),
    )


def _check_target(connection: Connection, subscription: Subscription) -> None:
    other = connection.execute(
        _ALL.where(
            subscriptions.c.tenant == subscription.tenant,
            subscriptions.c.target_hash == target_hash(subscription),
            subscriptions.c.deleted == 0,
            subscriptions.c.number != subscription.number,
        )
    )
    if found := other.mappings().first():
        raise same_target(subscription_of(found).name)


def _write(connection: Connection, current: Subscription, changed: Subscription) -> None:
    _check_target(connection, changed)
    mine = subscriptions.c.number == changed.number
    connection.execute(update(subscriptions).where(mine).values(_row(changed)))
    if changed.events != current.events:
        patterns = subscription_patterns
        connection.execute(delete(patterns).where(patterns.c.subscription == changed.number))
        _insert_patterns(connection, changed)


def _insert_patterns(connection: Connection, subscription: Subscription) -> None:
    rows = [(subscription.number, pattern, subscription.tenant) for pattern in subscription.events]
    dialect_of(connection).write_rows(connection, _INTO_PATTERNS, rows)


def _row(subscription: Subscription) -> dict[str, str | int | bytes | None]:
    return {**subscription_values(subscription), "target_hash": target_hash(subscription)}
