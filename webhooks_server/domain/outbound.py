"""The HTTP request of one attempt, whole and signed, and what came back (api.md 2.1)."""

from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import delivery_id
from webhooks_server.domain.signing import Header, live_secrets, signature_headers
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.domain.values import value

MASK = "***"


@value
class OutboundRequest:
    """One POST, ready to send. `secret_header_names` are in lower case.

    Their values are masked in the record.
    """

    url: str
    headers: tuple[Header, ...]
    body: bytes
    timeout: Micros
    secret_header_names: frozenset[str] = frozenset()

    def recorded_headers(self) -> dict[str, str]:
        """Return the headers as they may be stored and shown."""
        hidden = self.secret_header_names
        return {
            name: MASK if hidden and name.lower() in hidden else value
            for name, value in self.headers
        }


@value
class SendResult:
    """What came of one request: headers and body as far as they are kept."""

    outcome: Outcome
    start_time: Instant
    latency: Micros
    status_code: int = 0
    error_message: str = ""
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    body_truncated: bool = False
    remote_ip_address: str = ""
    retry_after: Micros | None = None


def build_request(
    subscription: Subscription,
    event: Event,
    delivery_uid: bytes,
    attempt_number: int,
    now: Instant,
    user_agent: str,
) -> OutboundRequest:
    """Build and sign the request of an attempt that starts now."""
    config = subscription.config
    timestamp = now // 1_000_000
    headers: list[Header] = [
        ("Content-Type", event.content_type if not event.is_json else config.content_type),
        ("User-Agent", user_agent),
        ("webhook-id", event.id),
        ("webhook-timestamp", str(timestamp)),
        ("X-Webhook-Delivery", delivery_id(delivery_uid)),
        ("X-Webhook-Event", event.event_type),
        ("X-Webhook-Subscription", subscription.id),
        ("X-Webhook-Attempt", str(attempt_number)),
    ]
    headers += signature_headers(
        config.signature_schemes, live_secrets(config, now), event.id, timestamp, event.payload
    )
    if event.traceparent:
        headers.append(("traceparent", event.traceparent))
    headers += config.headers.items()
    headers += [(name, value.reveal()) for name, value in config.secret_headers.items()]
    return OutboundRequest(
        url=config.url,
        headers=tuple(headers),
        body=event.payload,
        timeout=config.timeout,
        secret_header_names=frozenset(name.lower() for name in config.secret_headers),
    )
