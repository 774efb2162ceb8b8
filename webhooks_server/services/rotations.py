"""Rotation of a subscription's secret, with a time in which both sign."""

from dataclasses import dataclass, replace

from webhooks_server.domain.bounds import DEFAULT_OVERLAP, MAX_OVERLAP
from webhooks_server.domain.errors import EtagMismatch, Violation
from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.secrets import Secret, new_signing_secret
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant, Micros, after
from webhooks_server.ports import Clock, Engine, SubscriptionStore, Telemetry
from webhooks_server.services.subscription_checks import check_schemes, check_secret
from webhooks_server.services.subscriptions import Changed
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationDraft:
    """A wanted rotation: without a secret the server makes one, an overlap is 24 h."""

    tenant: TenantId
    subscription: SubscriptionId
    secret: Secret | None = None
    overlap: Micros | None = None
    etag: str = ""
    request: RequestKey | None = None
    unreadable: tuple[Violation, ...] = ()


class Rotations:
    """Replaces secrets."""

    def __init__(
        self,
        *,
        subscriptions: SubscriptionStore,
        engine: Engine,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports."""
        self._store = subscriptions
        self._engine = engine
        self._clock = clock
        self._telemetry = telemetry

    async def rotate(self, draft: RotationDraft) -> Changed:
        """Sign with a new secret from now on, and with the present one too for the overlap."""
        known(draft.tenant)
        overlap = DEFAULT_OVERLAP if draft.overlap is None else draft.overlap
        _check(draft, overlap)
        secret = draft.secret or new_signing_secret()
        end = after(self._clock.wall(), overlap) if overlap else None

        def rotated(current: Subscription) -> Subscription:
            return _rotated(current, secret, end, draft.etag)

        updated = await self._store.update(
            draft.tenant, draft.subscription, rotated, request=draft.request
        )
        self._engine.changed()
        self._telemetry.fact(
            "subscription.secret_rotated", tenant=updated.tenant, subscription=updated.id
        )
        # Not `secret`: a repeated request is answered with the secret of the first.
        made = "" if draft.secret else updated.config.secret.reveal()
        return Changed(subscription=updated, secret=made)


def _check(draft: RotationDraft, overlap: int) -> None:
    violations = Violations(draft.unreadable)
    if not 0 <= overlap <= MAX_OVERLAP:
        violations.add("overlap_duration", "must be 0s to 604800s (7 days)")
    if draft.secret is not None:
        check_secret(draft.secret, "new_secret", violations)
    violations.raise_any()


def _rotated(current: Subscription, secret: Secret, end: Instant | None, etag: str) -> Subscription:
    if etag and etag != current.etag:
        raise EtagMismatch(current.etag)
    if secret == current.config.secret:
        # Repeated without a request id: the overlap of the first time must not be lost.
        return current
    violations = Violations()
    check_schemes(current.config.signature_schemes, secret, "new_secret", violations)
    violations.raise_any()
    config = replace(
        current.config,
        secret=secret,
        previous_secret=None if end is None else current.config.secret,
        previous_secret_expire_time=end,
    )
    return replace(current, config=config)
