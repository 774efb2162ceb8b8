"""The input bounds of a subscription: what is just allowed, and what is just not."""

import base64
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration

from webhooks.v1 import subscription_pb2 as pb

Config = pb.SubscriptionConfig
Retry = pb.RetryPolicy

HUB = [pb.SIGNATURE_SCHEME_HUB_SHA256]


def url_of(size: int) -> str:
    return "https://a.example/" + "x" * (size - 18)


def headers_of(count: int, value: str = "") -> dict[str, str]:
    return {f"X-{number:02}": value for number in range(count)}


def annotations_of(size: int) -> dict[str, str]:
    """Sixteen pairs with 16 KiB in all, or what is given."""
    pairs = {f"{number:02}": "v" * 1022 for number in range(16)}
    pairs["15"] += "v" * (size - 16 * 1024)
    return pairs


def secret_of(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


def span(seconds: int = 0, nanos: int = 0) -> Duration:
    return Duration(seconds=seconds, nanos=nanos)


DAY = 86_400


# By name: the field that is wrong, what is just allowed, and what is just not.
EDGES: Mapping[str, tuple[str, pb.Subscription, pb.Subscription]] = {
    "a display name of 63 characters": (
        "display_name",
        pb.Subscription(display_name="🙂" * 63),
        pb.Subscription(display_name="🙂" * 64),
    ),
    "64 patterns": (
        "events",
        pb.Subscription(events=[f"e{number}" for number in range(64)]),
        pb.Subscription(events=[f"e{number}" for number in range(65)]),
    ),
    "a pattern": ("events", pb.Subscription(events=["a"]), pb.Subscription(events=[""])),
    "a pattern of 128 characters": (
        "events",
        pb.Subscription(events=["p" * 126 + ".*"]),
        pb.Subscription(events=["p" * 127 + ".*"]),
    ),
    "a pattern of 8 segments": (
        "events",
        pb.Subscription(events=["a.b.c.d.e.f.g.h"]),
        pb.Subscription(events=["a.b.c.d.e.f.g.h.i"]),
    ),
    "a prefix of 8 segments": (
        "events",
        pb.Subscription(events=["a.b.c.d.e.f.g.h.*"]),
        pb.Subscription(events=["a.b.c.d.e.f.g.h.i.*"]),
    ),
    "a wildcard at the end": (
        "events",
        pb.Subscription(events=["a.*"]),
        pb.Subscription(events=["a.*.b"]),
    ),
    "patterns without repeats": (
        "events",
        pb.Subscription(events=["a", "b"]),
        pb.Subscription(events=["a", "b", "a"]),
    ),
    "a URL of 2,048 characters": (
        "config.url",
        pb.Subscription(config=Config(url=url_of(2048))),
        pb.Subscription(config=Config(url=url_of(2049))),
    ),
    "20 headers": (
        "config.headers",
        pb.Subscription(config=Config(headers=headers_of(20))),
        pb.Subscription(config=Config(headers=headers_of(21))),
    ),
    "20 headers, secret ones among them": (
        "config.headers",
        pb.Subscription(config=Config(headers=headers_of(19), secret_headers={"X-S": ""})),
        pb.Subscription(config=Config(headers=headers_of(20), secret_headers={"X-S": ""})),
    ),
    "a header name of 64 characters": (
        "config.headers",
        pb.Subscription(config=Config(headers={"n" * 64: ""})),
        pb.Subscription(config=Config(headers={"n" * 65: ""})),
    ),
    "a header value of 2 KiB": (
        "config.headers",
        pb.Subscription(config=Config(headers={"n": "v" * 2048})),
        pb.Subscription(config=Config(headers={"n": "v" * 2049})),
    ),
    "a secret header value of 2 KiB": (
        "config.secret_headers",
        pb.Subscription(config=Config(secret_headers={"n": "v" * 2048})),
        pb.Subscription(config=Config(secret_headers={"n": "v" * 2049})),
    ),
    "8 KiB of headers": (
        "config.headers",
        pb.Subscription(config=Config(headers=headers_of(4, "v" * 2044))),
        pb.Subscription(config=Config(headers={**headers_of(4, "v" * 2044), "X-03": "v" * 2045})),
    ),
    "a tab in a header value": (
        "config.headers",
        pb.Subscription(config=Config(headers={"n": "a\t b"})),
        pb.Subscription(config=Config(headers={"n": "a\tb\t"})),
    ),
    "64 annotations": (
        "annotations",
        pb.Subscription(annotations=headers_of(64)),
        pb.Subscription(annotations=headers_of(65)),
    ),
    "an annotation key of 63 characters": (
        "annotations",
        pb.Subscription(annotations={"é" * 63: ""}),
        pb.Subscription(annotations={"é" * 64: ""}),
    ),
    "an annotation key": (
        "annotations",
        pb.Subscription(annotations={"k": ""}),
        pb.Subscription(annotations={"": ""}),
    ),
    "an annotation of 1 KiB": (
        "annotations",
        pb.Subscription(annotations={"k": "v" * 1024}),
        pb.Subscription(annotations={"k": "v" * 1025}),
    ),
    "16 KiB of annotations": (
        "annotations",
        pb.Subscription(annotations=annotations_of(16 * 1024)),
        pb.Subscription(annotations=annotations_of(16 * 1024 + 1)),
    ),
    "a time-out of 1 s": (
        "config.timeout",
        pb.Subscription(config=Config(timeout=span(1))),
        pb.Subscription(config=Config(timeout=span(0, 999_999_000))),
    ),
    "a time-out of 30 s": (
        "config.timeout",
        pb.Subscription(config=Config(timeout=span(30))),
        pb.Subscription(config=Config(timeout=span(30, 1))),
    ),
    "1 in flight": (
        "config.max_in_flight",
        pb.Subscription(config=Config(max_in_flight=1)),
        pb.Subscription(config=Config(max_in_flight=-1)),
    ),
    "256 in flight": (
        "config.max_in_flight",
        pb.Subscription(config=Config(max_in_flight=256)),
        pb.Subscription(config=Config(max_in_flight=257)),
    ),
    "1 request per minute": (
        "config.max_requests_per_minute",
        pb.Subscription(config=Config(max_requests_per_minute=1)),
        pb.Subscription(config=Config(max_requests_per_minute=-1)),
    ),
    "1,000,000 requests per minute": (
        "config.max_requests_per_minute",
        pb.Subscription(config=Config(max_requests_per_minute=1_000_000)),
        pb.Subscription(config=Config(max_requests_per_minute=1_000_001)),
    ),
    "a secret of 24 bytes": (
        "config.secret",
        pb.Subscription(config=Config(secret=secret_of(24))),
        pb.Subscription(config=Config(secret=secret_of(23))),
    ),
    "a secret of 64 bytes": (
        "config.secret",
        pb.Subscription(config=Config(secret=secret_of(64))),
        pb.Subscription(config=Config(secret=secret_of(65))),
    ),
    "a passphrase of 8 characters": (
        "config.secret",
        pb.Subscription(config=Config(secret="p" * 8)),
        pb.Subscription(config=Config(secret="p" * 7)),
    ),
    "a passphrase of 256 characters": (
        "config.secret",
        pb.Subscription(config=Config(secret="p" * 256)),
        pb.Subscription(config=Config(secret="p" * 257)),
    ),
    "a passphrase of visible characters": (
        "config.secret",
        pb.Subscription(config=Config(secret="~!" * 4)),
        pb.Subscription(config=Config(secret="with space")),
    ),
    "schemes that fit a passphrase": (
        "config.signature_schemes",
        pb.Subscription(config=Config(secret="p" * 8, signature_schemes=HUB)),
        pb.Subscription(
            config=Config(
                secret="p" * 8, signature_schemes=[*HUB, pb.SIGNATURE_SCHEME_STANDARD_HMAC]
            )
        ),
    ),
    "schemes without repeats": (
        "config.signature_schemes",
        pb.Subscription(config=Config(signature_schemes=HUB)),
        pb.Subscription(config=Config(signature_schemes=HUB * 2)),
    ),
    "1 attempt": (
        "retry_policy.max_attempts",
        pb.Subscription(retry_policy=Retry(max_attempts=1)),
        pb.Subscription(retry_policy=Retry(max_attempts=-1)),
    ),
    "100 attempts": (
        "retry_policy.max_attempts",
        pb.Subscription(retry_policy=Retry(max_attempts=100)),
        pb.Subscription(retry_policy=Retry(max_attempts=101)),
    ),
    "a first wait of 10 ms": (
        "retry_policy.initial_backoff",
        pb.Subscription(retry_policy=Retry(initial_backoff=span(0, 10_000_000))),
        pb.Subscription(retry_policy=Retry(initial_backoff=span(0, 9_999_000))),
    ),
    "a first wait of 24 h": (
        "retry_policy.initial_backoff",
        pb.Subscription(retry_policy=Retry(initial_backoff=span(DAY))),
        pb.Subscription(retry_policy=Retry(initial_backoff=span(DAY, 1))),
    ),
    "a longest wait of the first": (
        "retry_policy.max_backoff",
        pb.Subscription(retry_policy=Retry(initial_backoff=span(2), max_backoff=span(2))),
        pb.Subscription(
            retry_policy=Retry(initial_backoff=span(2), max_backoff=span(1, 999_999_000))
        ),
    ),
    "a longest wait of 24 h": (
        "retry_policy.max_backoff",
        pb.Subscription(retry_policy=Retry(max_backoff=span(DAY))),
        pb.Subscription(retry_policy=Retry(max_backoff=span(DAY, 1))),
    ),
    "a factor of 1": (
        "retry_policy.backoff_multiplier",
        pb.Subscription(retry_policy=Retry(backoff_multiplier=1)),
        pb.Subscription(retry_policy=Retry(backoff_multiplier=0.999)),
    ),
    "a factor of 10": (
        "retry_policy.backoff_multiplier",
        pb.Subscription(retry_policy=Retry(backoff_multiplier=10)),
        pb.Subscription(retry_policy=Retry(backoff_multiplier=10.001)),
    ),
    "an age of 1 s": (
        "retry_policy.max_age",
        pb.Subscription(retry_policy=Retry(max_age=span(1))),
        pb.Subscription(retry_policy=Retry(max_age=span(0, 999_999_000))),
    ),
    "an age of 30 days": (
        "retry_policy.max_age",
        pb.Subscription(retry_policy=Retry(max_age=span(30 * DAY))),
        pb.Subscription(retry_policy=Retry(max_age=span(30 * DAY, 1))),
    ),
}
