"""Subscriptions: who wants which events, where, and signed how."""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import IntEnum

from webhooks_server.domain.ids import SubscriptionId, SubscriptionNumber, TenantId, Version
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.times import SECOND, Instant, Micros
from webhooks_server.domain.values import value

PARTITIONS = 256
"""The number of partitions for new subscriptions; a subscription keeps the one it was given."""
DEFAULT_TIMEOUT = Micros(15 * SECOND)
DEFAULT_MAX_IN_FLIGHT = 10
JSON_CONTENT_TYPE = "application/json"


class State(IntEnum):
    """What the server makes of a subscription now.

    Only ACTIVE sends. The numbers are the contract's.
    """

    ACTIVE = 1
    INACTIVE = 2
    PAUSED = 3
    DISABLED = 4
    UNVERIFIED = 5


class DisableReason(IntEnum):
    """Why the server disabled a subscription. The numbers are the contract's."""

    GONE = 1
    CONSECUTIVE_FAILURES = 2
    CLIENT_ERROR = 3
    ADMIN = 4
    VERIFICATION_FAILED = 5
    BACKLOG = 6


class SignatureScheme(IntEnum):
    """How a request is signed. The numbers are the contract's."""

    STANDARD_HMAC = 1
    HUB_SHA256 = 3
    HUB_LEGACY = 4


class ClientErrorPolicy(IntEnum):
    """What a 4xx answer means, 408, 410, 425 and 429 apart. The numbers are the contract's."""

    RETRY = 1
    FAIL_DELIVERY = 2
    DISABLE_SUBSCRIPTION = 3


@value
class RetryPolicy:
    """When and how often a delivery is tried again.

    None and 0 stand for the default (domain.retry).
    """

    max_attempts: int = 0
    initial_backoff: Micros | None = None
    max_backoff: Micros | None = None
    backoff_multiplier: float = 0.0
    max_age: Micros | None = None
    client_error_policy: ClientErrorPolicy | None = None


@value
class SubscriptionConfig:
    """Where and how requests are sent."""

    url: str
    secret: Secret
    content_type: str = JSON_CONTENT_TYPE
    signature_schemes: tuple[SignatureScheme, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    timeout: Micros = DEFAULT_TIMEOUT
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_requests_per_minute: int = 0
    previous_secret: Secret | None = None
    previous_secret_expire_time: Instant | None = None


@value
class Subscription:
    """A subscription as it stands at one control version.

    Number, partition and version come from the store.
    """

    tenant: TenantId
    id: SubscriptionId
    uid: str
    events: tuple[str, ...]
    config: SubscriptionConfig
    create_time: Instant
    update_time: Instant
    number: SubscriptionNumber = SubscriptionNumber(0)
    partition: int = 0
    version: Version = Version(0)
    display_name: str = ""
    active: bool = True
    paused: bool = False
    pause_reason: str = ""
    disable_reason: DisableReason | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    annotations: Mapping[str, str] = field(default_factory=dict)
    creator: str = ""
    deleted: bool = False

    @property
    def name(self) -> str:
        """The resource name."""
        return f"tenants/{self.tenant}/subscriptions/{self.id}"

    @property
    def etag(self) -> str:
        """The entity tag, quoted as RFC 9110 has it; a new one with every change."""
        return f'"{self.version:x}"'

    @property
    def state(self) -> State:
        """The strongest of the states that apply (api.md 1.4)."""
        if self.disable_reason is not None:
            return State.DISABLED
        if not self.active:
            return State.INACTIVE
        return State.PAUSED if self.paused else State.ACTIVE


def buried(subscription: Subscription) -> Subscription:
    """Return the tombstone of a subscription: what its history needs, and no secret any more."""
    config = replace(
        subscription.config,
        secret=Secret(""),
        secret_headers={},
        previous_secret=None,
        previous_secret_expire_time=None,
    )
    return replace(subscription, config=config, deleted=True)


def held_reason(state: State, *, deleted: bool) -> str:
    """Return why a subscription's pending deliveries wait: a value of `state_reason`, or none."""
    if deleted:
        return "deleted"
    return "" if state is State.ACTIVE else state.name.lower()


@value
class IndexEntry:
    """What the match index and the lanes need to know of a subscription.

    With `max_requests_per_minute` 0 there is no such limit. `failing` is the level that its lane
    had when it was last on record (domain.breaker), `host` the target's.
    """

    number: SubscriptionNumber
    tenant: TenantId
    id: SubscriptionId
    partition: int
    version: Version
    state: State
    deleted: bool
    patterns: tuple[str, ...]
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_age: Micros | None = None
    max_requests_per_minute: int = 0
    failing: int = 0
    host: str = ""


@value
class RelayPause:
    """PauseRelay in force: for one tenant, or for all where tenant is empty."""

    tenant: str
    reason: str
    pause_time: Instant


@value
class Changes:
    """The subscriptions changed since a version, the oldest first, and all pauses in force.

    `version` is what the reader knows after applying them. `complete` is false where more changes
    are waiting.
    """

    version: Version
    entries: tuple[IndexEntry, ...]
    pauses: tuple[RelayPause, ...]
    complete: bool
