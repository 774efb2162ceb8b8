"""What a caller wants a subscription to be, made a new one or merged into one that exists."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from webhooks_server.domain.errors import Violation, invalid
from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.secrets import Secret, standard_key
from webhooks_server.domain.subscription import (
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_TIMEOUT,
    JSON_CONTENT_TYPE,
    RetryPolicy,
    SignatureScheme,
    Subscription,
    SubscriptionConfig,
)
from webhooks_server.domain.target_url import canonical_url
from webhooks_server.domain.times import Instant, Micros

SECRET_PATH = "config.secret"  # noqa: S105
SECRET_HEADERS_PATH = "config.secret_headers"  # noqa: S105
PATHS = frozenset(
    "display_name events active annotations"
    " config.url config.content_type config.signature_schemes config.headers"
    " config.timeout config.max_in_flight config.max_requests_per_minute"
    " retry_policy.max_attempts retry_policy.initial_backoff retry_policy.max_backoff"
    " retry_policy.backoff_multiplier retry_policy.max_age"
    " retry_policy.client_error_policy".split()
)
"""The fields that an update can change, as leaves of the contract's message; no secret ones."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionDraft:
    """The writable fields of a subscription, defaults in the place of what was left out.

    `unreadable` holds what the front door found wrong and could not express in the other fields.
    """

    tenant: TenantId
    id: SubscriptionId | None = None
    etag: str = ""
    display_name: str = ""
    events: tuple[str, ...] = ()
    active: bool = True
    url: str = ""
    secret: Secret | None = None
    content_type: str = JSON_CONTENT_TYPE
    signature_schemes: tuple[SignatureScheme, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    timeout: Micros = DEFAULT_TIMEOUT
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_requests_per_minute: int = 0
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    annotations: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[Violation, ...] = ()


def new_subscription(
    draft: SubscriptionDraft,
    *,
    subscription_id: SubscriptionId,
    uid: str,
    secret: Secret,
    now: Instant,
) -> Subscription:
    """Return the subscription that the draft describes."""
    return Subscription(
        tenant=draft.tenant,
        id=subscription_id,
        uid=uid,
        display_name=draft.display_name,
        events=draft.events,
        active=draft.active,
        config=SubscriptionConfig(
            url=canonical_url(draft.url),
            secret=secret,
            content_type=draft.content_type,
            signature_schemes=draft.signature_schemes or default_schemes(secret),
            headers=draft.headers,
            secret_headers=draft.secret_headers,
            timeout=draft.timeout,
            max_in_flight=draft.max_in_flight,
            max_requests_per_minute=draft.max_requests_per_minute,
        ),
        retry_policy=draft.retry_policy,
        annotations=draft.annotations,
        create_time=now,
        update_time=now,
    )


def merged(current: Subscription, draft: SubscriptionDraft, paths: frozenset[str]) -> Subscription:
    """Return the subscription with the fields at these paths taken from the draft.

    It is `current` itself where nothing changes.
    """
    if SECRET_PATH in paths:
        raise invalid(
            f"subscription.{SECRET_PATH}",
            "cannot be changed here; use RotateSubscriptionSecret",
            "IMMUTABLE_FIELD",
        )
    pick = _Pick(paths)
    active = pick("active", draft.active, current.active)
    changed = replace(
        current,
        display_name=pick("display_name", draft.display_name, current.display_name),
        events=pick("events", draft.events, current.events),
        annotations=pick("annotations", draft.annotations, current.annotations),
        active=active,
        # Saying that it is active lifts what the server did; being active so far does not.
        disable_reason=None if active and "active" in paths else current.disable_reason,
        config=_merged_config(pick, draft, current.config),
        retry_policy=_merged_policy(pick, draft.retry_policy, current.retry_policy),
    )
    return current if changed == current else changed


def default_schemes(secret: Secret) -> tuple[SignatureScheme, ...]:
    """Return the signature schemes for a secret where the caller names none (api.md 2.1)."""
    if standard_key(secret) is None:
        return (SignatureScheme.HUB_SHA256,)
    return (SignatureScheme.STANDARD_HMAC, SignatureScheme.HUB_SHA256)


class _Pick:
    """Chooses between the wanted and the present value of a field."""

    def __init__(self, paths: frozenset[str]) -> None:
        self._paths = paths

    def __call__(self, path: str, wanted: Value, present: Value) -> Value:
        return wanted if path in self._paths else present


def _merged_config(
    pick: _Pick, draft: SubscriptionDraft, current: SubscriptionConfig
) -> SubscriptionConfig:
    schemes = draft.signature_schemes or default_schemes(current.secret)
    return replace(
        current,
        url=pick("config.url", canonical_url(draft.url), current.url),
        content_type=pick("config.content_type", draft.content_type, current.content_type),
        signature_schemes=pick("config.signature_schemes", schemes, current.signature_schemes),
        headers=pick("config.headers", draft.headers, current.headers),
        secret_headers=pick(SECRET_HEADERS_PATH, draft.secret_headers, current.secret_headers),
        timeout=pick("config.timeout", draft.timeout, current.timeout),
        max_in_flight=pick("config.max_in_flight", draft.max_in_flight, current.max_in_flight),
        max_requests_per_minute=pick(
            "config.max_requests_per_minute",
            draft.max_requests_per_minute,
            current.max_requests_per_minute,
        ),
    )


def _merged_policy(pick: _Pick, wanted: RetryPolicy, current: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=pick("retry_policy.max_attempts", wanted.max_attempts, current.max_attempts),
        initial_backoff=pick(
            "retry_policy.initial_backoff", wanted.initial_backoff, current.initial_backoff
        ),
        max_backoff=pick("retry_policy.max_backoff", wanted.max_backoff, current.max_backoff),
        backoff_multiplier=pick(
            "retry_policy.backoff_multiplier",
            wanted.backoff_multiplier,
            current.backoff_multiplier,
        ),
        max_age=pick("retry_policy.max_age", wanted.max_age, current.max_age),
        client_error_policy=pick(
            "retry_policy.client_error_policy",
            wanted.client_error_policy,
            current.client_error_policy,
        ),
    )
