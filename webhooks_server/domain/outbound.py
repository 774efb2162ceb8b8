"""The HTTP request of one attempt, whole and signed, and what came back (api.md 2.1)."""

from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import delivery_id
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.signing import Header, Signer, live_secrets
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.domain.values import value

MASK = "***"


@value
class OutboundRequest:
    """One POST, ready to send. `secret_header_names` are in lower case.

    Their values are masked in the record. `lease` tells whose attempt it is to a relay that is
    elsewhere.
    """

    url: str
    headers: tuple[Header, ...]
    body: bytes
    timeout: Micros
    secret_header_names: frozenset[str] = frozenset()
    lease: Lease | None = None

    def recorded_headers(self) -> dict[str, str]:
        """Return the headers as they may be stored and shown."""
        hidden = self.secret_header_names
        if not hidden:
            return dict(self.headers)
        return {name: MASK if name.lower() in hidden else value for name, value in self.headers}


@value
class SendResult:
    """What came of one request: headers and body as far as they are kept.

    `is_ours` where it failed for want of something here, whatever the receiver does (R7);
    `may_be_ours` where there was no way to the receiver, which either side can be the reason of.
    `relay` is who sent it, where that was not the engine's own. One that `is_on_record` was put
    there by another process, and what is stated here of it changes nothing (EB5).
    """

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
    is_ours: bool = False
    may_be_ours: bool = False
    relay: str = ""
    is_on_record: bool = False


class Recipient:
    """A subscription, and what all requests to it have in common, made once."""

    def __init__(self, subscription: Subscription, user_agent: str) -> None:
        """Take the subscription, and the value of User-Agent."""
        config = subscription.config
        self.subscription = subscription
        self._agent = ("User-Agent", user_agent)
        self._id = ("X-Webhook-Subscription", subscription.id)
        end = self._overlap_end = config.previous_secret_expire_time or Instant(0)
        schemes = config.signature_schemes
        self._overlap_signer = Signer(schemes, live_secrets(config, Instant(end - 1)))
        self._signer = Signer(schemes, live_secrets(config, end))
        self._own = (
            *config.headers.items(),
            *((name, secret.reveal()) for name, secret in config.secret_headers.items()),
        )
        self._secret_names = frozenset(name.lower() for name in config.secret_headers)

    def request(
        self,
        event: Event,
        delivery_uid: bytes,
        attempt_number: int,
        now: Instant,
        traceparent: str,
        lease: Lease | None = None,
    ) -> OutboundRequest:
        """Build and sign the request of an attempt that starts now and continues this trace."""
        config = self.subscription.config
        timestamp = str(now // 1_000_000)
        headers: list[Header] = [
            ("Content-Type", config.content_type if event.is_json else event.content_type),
            self._agent,
            ("webhook-id", event.id),
            ("webhook-timestamp", timestamp),
            ("X-Webhook-Delivery", delivery_id(delivery_uid)),
            ("X-Webhook-Event", event.event_type),
            self._id,
            ("X-Webhook-Attempt", str(attempt_number)),
        ]
        signer = self._overlap_signer if now < self._overlap_end else self._signer
        headers += signer.headers(event.id, timestamp, event.payload)
        if traceparent:
            headers.append(("traceparent", traceparent))
        headers += self._own
        return OutboundRequest(
            url=config.url,
            headers=tuple(headers),
            body=event.payload,
            timeout=config.timeout,
            secret_header_names=self._secret_names,
            lease=lease,
        )
