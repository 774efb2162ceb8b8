"""How channels are set up, and what goes with every call."""

import json
from dataclasses import dataclass, field, replace

from webhooks_client.errors import invalid
from webhooks_client.retry import ONCE, RetryPolicy, Tries

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 10.0
_ENOUGH = 500
MAX_MESSAGE_BYTES = 8 * 1024 * 1024

# Reads alone: whatever else a stub sends may have been done although no answer came.
READS = {
    "webhooks.v1.AdminService": ("GetServerInfo", "GetRelayStatus", "Audit"),
    "webhooks.v1.DeliveryService": ("GetDelivery", "ListDeliveries", "ListDeliveryAttempts"),
    "webhooks.v1.EventService": ("GetEvent", "ListEvents", "ExplainMatch"),
    "webhooks.v1.SubscriptionService": ("GetSubscription", "ListSubscriptions"),
}

Options = list[tuple[str, str | int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDefaults:
    """What holds for every call of a client."""

    tenant: str
    token: str | None = field(repr=False)
    timeout: float
    retry: RetryPolicy

    def metadata(self, traceparent: str | None) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call; traceparent as in W3C Trace Context.

        Raises InvalidArgument where HTTP/2 cannot carry it.
        """
        if traceparent and not (traceparent.isascii() and traceparent.isprintable()):
            raise invalid("traceparent", "must be printable ASCII")
        token = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        return (*token, ("traceparent", traceparent)) if traceparent else token

    def tries(self, timeout: float | None, *, repeat: bool) -> Tries:
        """Start a call; its tries, more than one only with repeat, all fit into timeout."""
        seconds = self.timeout if timeout is None else timeout
        return Tries(self.retry if repeat else ONCE, seconds)

    def tries_of_stream(self, timeout: float | None) -> Tries:
        """Start the search for a server that goes on with a stream: the time alone bounds it."""
        seconds = self.timeout if timeout is None else timeout
        is_once = self.retry.attempts == 1
        return Tries(ONCE if is_once else replace(self.retry, attempts=_ENOUGH), seconds)


def channel_options(target: str, *, secure: bool) -> Options:
    """Return the options of a channel to target."""
    options: Options = [
        # Finds connections that died without a word. The server allows a ping every 10 s.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Quick enough for the tries of one call to see a server that was restarted.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(_service_config(target))),
    ]
    # A proxy of the environment is for the web; plain text goes straight to its server.
    return options if secure else [*options, ("grpc.enable_http_proxy", 0)]


def _service_config(target: str) -> dict[str, object]:
    names = [
        {"service": service, "method": method}
        for service, methods in READS.items()
        for method in methods
    ]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 4,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, object] = {"methodConfig": [{"name": names, "retryPolicy": retry}]}
    if target.startswith(("dns:", "ipv4:", "ipv6:")):
        # Of a headless service, or listed: every server there gets its share of the calls.
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return config
