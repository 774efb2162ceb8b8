"""What callers hand over and get back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.times import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionDraft:
    """A subscription to be made. Without an id or a secret the server makes one."""

    url: str
    events: tuple[str, ...]
    id: str = ""
    display_name: str = ""
    secret: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSubscription:
    """A subscription that was made. The secret is there where the server made it: now or never."""

    name: str
    secret: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """An event to be published.

    The payload is JSON text, or any bytes with their content type, or `{}` where neither is given.
    """

    event_type: str
    event_id: str = ""
    data_json: str | None = None
    data_bytes: bytes | None = None
    content_type: str = ""
    source: str = ""
    subject: str = ""
    occur_time: Instant | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    data_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of an event: its resource name, and how many subscriptions matched."""

    event: str
    duplicate: bool
    matched_subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Which server answers, and by which limits."""

    version: str
    server_id: str
    limits: Mapping[str, int]
