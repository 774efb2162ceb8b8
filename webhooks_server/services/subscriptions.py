"""Subscriptions: registered, read, changed, paused, removed."""

import hashlib
import uuid
from dataclasses import dataclass, replace

from webhooks_server.domain.bounds import MAX_REASON, text_problem
from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.errors import EtagMismatch, InvalidArgument, NotFound, ResourceExists
from webhooks_server.domain.filters import Field, Kind, parse_filter
from webhooks_server.domain.ids import IdSource, SubscriptionId, TenantId
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.secrets import new_signing_secret
from webhooks_server.domain.subscription import State, Subscription
from webhooks_server.ports import Clock, DeliveryStore, Engine, SubscriptionStore, Telemetry
from webhooks_server.services.pings import Pings
from webhooks_server.services.subscription_checks import (
    check_secret,
    check_subscription,
    check_url,
)
from webhooks_server.services.subscription_draft import (
    SECRET_PATH,
    SubscriptionDraft,
    merged,
    new_subscription,
)
from webhooks_server.services.tenants import known, known_or_all
from webhooks_server.services.violations import Violations

FILTER_FIELDS = {
    "state": Field(kind=Kind.CHOICE, choices={f"STATE_{state.name}": state for state in State}),
    "events": Field(kind=Kind.TEXTS),
    "creator": Field(kind=Kind.TEXT),
    "config.url": Field(kind=Kind.TEXT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a change is asked for: repeatable by its key, or only tried."""

    request: RequestKey | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A subscription after a change, and its secret in clear text where the server made it."""

    subscription: Subscription
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A subscription after a resume, and how many deliveries had been waiting."""

    subscription: Subscription
    held_delivery_count: int


class Subscriptions:
    """Who wants which events, where."""

    def __init__(
        self,
        *,
        egress: EgressPolicy,
        subscriptions: SubscriptionStore,
        deliveries: DeliveryStore,
        engine: Engine,
        pings: Pings,
        ids: IdSource,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports, and which URLs are allowed."""
        self._egress = egress
        self._store = subscriptions
        self._deliveries = deliveries
        self._engine = engine
        self._pings = pings
        self._ids = ids
        self._clock = clock
        self._telemetry = telemetry

    async def create(
        self, draft: SubscriptionDraft, change: Change, *, skip_ping: bool = False
    ) -> Changed:
        """Register a subscription and ping it, unless told not to, without waiting for that."""
        known(draft.tenant)
        wanted = self._new(draft)
        created = await self._store.create(wanted, request=change.request, dry_run=change.dry_run)
        # Another uid: the answer to an earlier request with this key, which had its ping then.
        if created.uid == wanted.uid and not change.dry_run:
            self._told("subscription.created", created)
            if not skip_ping:
                self._pings.ping_later(created)
        return Changed(subscription=created, secret=_made_secret(created, draft, change))

    async def get(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        """Return a subscription; raises NotFound."""
        return await self._store.get(known(tenant), subscription)

    async def list(
        self, tenant: TenantId | None, filter_text: str, page: PageRequest
    ) -> Page[Subscription]:
        """Return a page, the newest first; None reads all tenants."""
        terms = parse_filter(filter_text, FILTER_FIELDS)
        return await self._store.list(known_or_all(tenant), terms, page)

    async def update(
        self,
        subscription: SubscriptionId,
        draft: SubscriptionDraft,
        paths: frozenset[str],
        change: Change,
    ) -> Changed:
        """Change the fields at these paths; raises NotFound, EtagMismatch, ResourceExists."""
        known(draft.tenant)
        Violations(draft.unreadable).raise_any()

        def applied(current: Subscription) -> Subscription:
            _check_etag(current, draft.etag)
            return self._merged(current, draft, paths)

        updated = await self._store.update(
            draft.tenant,
            subscription,
            applied,
            request=change.request,
            dry_run=change.dry_run,
        )
        if not change.dry_run:
            self._told("subscription.updated", updated)
        return Changed(subscription=updated)

    async def create_or_update(
        self,
        subscription: SubscriptionId,
        draft: SubscriptionDraft,
        paths: frozenset[str],
        change: Change,
    ) -> Changed:
        """Change a subscription, or create it, without a ping, where there is none."""
        if draft.etag:
            # Whoever gives an etag has seen one that exists.
            return await self.update(subscription, draft, paths, change)
        creation = replace(change, request=_creation_key(change.request))
        try:
            return await self.create(replace(draft, id=subscription), creation, skip_ping=True)
        except (ResourceExists, InvalidArgument) as not_created:
            # Because it exists, where the draft need not be whole either; or because this request
            # was an update when it first came, which the update itself finds out.
            try:
                return await self.update(subscription, draft, paths, change)
            except NotFound:
                raise not_created from None

    async def delete(
        self, tenant: TenantId, subscription: SubscriptionId, etag: str
    ) -> Subscription:
        """Remove a subscription; returns it as it was. Raises NotFound, EtagMismatch."""
        deleted = await self._store.delete(known(tenant), subscription, etag)
        self._told("subscription.deleted", deleted)
        return deleted

    async def pause(
        self, tenant: TenantId, subscription: SubscriptionId, reason: str
    ) -> Subscription:
        """Hold back what is to be sent; events are still matched."""
        known(tenant)
        violations = Violations()
        violations.add("reason", text_problem(reason, MAX_REASON))
        violations.raise_any()

        def paused(current: Subscription) -> Subscription:
            if current.paused and current.pause_reason == reason:
                return current
            return replace(current, paused=True, pause_reason=reason)

        updated = await self._store.update(tenant, subscription, paused)
        self._told("subscription.paused", updated)
        return updated

    async def resume(self, tenant: TenantId, subscription: SubscriptionId) -> Resumed:
        """Let the deliveries flow again."""

        def resumed(current: Subscription) -> Subscription:
            return replace(current, paused=False, pause_reason="") if current.paused else current

        # Before the change: a count that fails has then changed nothing, nor does the engine wait.
        held = await self._deliveries.pending(known(tenant), subscription)
        updated = await self._store.update(tenant, subscription, resumed)
        self._told("subscription.resumed", updated)
        return Resumed(subscription=updated, held_delivery_count=held)

    def _new(self, draft: SubscriptionDraft) -> Subscription:
        violations = Violations(draft.unreadable)
        if draft.secret is not None:
            check_secret(draft.secret, f"subscription.{SECRET_PATH}", violations)
        subscription = new_subscription(
            draft,
            subscription_id=draft.id or self._ids.subscription(),
            uid=str(uuid.UUID(bytes=self._ids.uid())),
            secret=draft.secret or new_signing_secret(),
            now=self._clock.wall(),
        )
        check_url(subscription.config.url, self._egress, violations)
        check_subscription(subscription, violations)
        violations.raise_any()
        return subscription

    def _merged(
        self, current: Subscription, draft: SubscriptionDraft, paths: frozenset[str]
    ) -> Subscription:
        wanted = merged(current, draft, paths)
        violations = Violations()
        if wanted.config.url != current.config.url:
            check_url(wanted.config.url, self._egress, violations)
        check_subscription(wanted, violations)
        violations.raise_any()
        return wanted

    def _told(self, fact: str, subscription: Subscription) -> None:
        self._engine.changed()
        self._telemetry.fact(fact, tenant=subscription.tenant, subscription=subscription.id)


def _check_etag(current: Subscription, etag: str) -> None:
    if etag and etag != current.etag:
        raise EtagMismatch(current.etag)


def _made_secret(created: Subscription, draft: SubscriptionDraft, change: Change) -> str:
    if draft.secret is not None or change.dry_run:
        return ""
    return created.config.secret.reveal()


def _creation_key(request: RequestKey | None) -> RequestKey | None:
    """Return the key under which an update that creates is remembered: its id, another fingerprint.

    Only a creation tells the secret: were both remembered alike, a repetition could not know which
    of them it repeats.
    """
    if request is None:
        return None
    fingerprint = hashlib.sha256(request.fingerprint + b"created").digest()
    return replace(request, fingerprint=fingerprint)
