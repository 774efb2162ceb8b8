"""Verification of received requests: Standard Webhooks, and GitHub's X-Hub-Signature-256."""

import base64
import contextlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from standardwebhooks import Webhook

TOLERANCE = timedelta(minutes=5)
"""How far a request's time may be from ours, either way."""

_MAX_HEADER = 4096
_MAX_SIGNATURES = 10
_READ = frozenset(
    "webhook-id webhook-timestamp webhook-signature"
    " x-webhook-event x-webhook-delivery x-webhook-subscription x-webhook-attempt".split()
)
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=", re.ASCII)
_HUB_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}", re.ASCII)
_KEY_SIZES = range(24, 65)
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret starts with


@runtime_checkable
class HasItems(Protocol):
    """Headers as web frameworks have them: a mapping or multi-mapping of names to values."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return all pairs of name and value, repeated names repeated."""
        ...


Headers = HasItems | Iterable[tuple[str, str]]
Secrets = str | Iterable[str]


class VerificationFailed(Exception):
    """The request is not to be trusted: answer 400 and do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request whose signature is right.

    The signature covers id, timestamp and body. The rest is as it came.
    """

    event_id: str
    """The same in every attempt, so that an event that came before can be told."""
    timestamp: datetime
    """When this attempt was made."""
    body: bytes = field(repr=False)
    event_type: str | None
    delivery: str | None
    subscription: str | None
    attempt: int | None
    """Counts from 1."""


def verify(
    body: bytes, headers: Headers, secret: Secrets, *, tolerance: timedelta = TOLERANCE
) -> Received:
    """Verify the signature of a request by Standard Webhooks; raises VerificationFailed.

    Body is the bytes as they came, never parsed and written again. Secret is `whsec_…` as the
    server gave it out; during a rotation the old one and the new one. Raises ValueError where a
    secret is not one.
    """
    values = _single(headers)
    event_id = _required(values, "webhook-id", _EVENT_ID)
    seconds = int(_required(values, "webhook-timestamp", _TIMESTAMP))
    timestamp = datetime.fromtimestamp(seconds, UTC)
    if abs(datetime.now(UTC) - timestamp) > tolerance:
        raise VerificationFailed(f"webhook-timestamp is more than {tolerance} away from now")
    expected = [_signature(_key(one), event_id, timestamp, body) for one in _each(secret)]
    if not _any_equal(expected, _signatures(values)):
        raise VerificationFailed("no signature in webhook-signature is right")
    return Received(
        event_id=event_id,
        timestamp=timestamp,
        body=body,
        event_type=values.get("x-webhook-event"),
        delivery=values.get("x-webhook-delivery"),
        subscription=values.get("x-webhook-subscription"),
        attempt=_attempt(values),
    )


def verify_hub_signature(body: bytes, header: str | None, secret: Secrets) -> None:
    """Verify the value of X-Hub-Signature-256; raises VerificationFailed.

    The key is the text of the secret as it was given out, `whsec_` included. This signature covers
    neither id nor time, so that a recorded request can be sent again: prefer verify.
    """
    if header is None or _HUB_SIGNATURE.fullmatch(header) is None:
        raise VerificationFailed("X-Hub-Signature-256 is missing or malformed")
    expected = [
        "sha256=" + hmac.digest(one.encode(), body, "sha256").hex() for one in _each(secret)
    ]
    if not _any_equal(expected, [header]):
        raise VerificationFailed("X-Hub-Signature-256 is not right")


def _single(headers: Headers) -> dict[str, str]:
    """Return the headers that matter by lower case name; a repeated one is an attack or a bug."""
    pairs = (
        headers.items() if isinstance(headers, Mapping) or hasattr(headers, "items") else headers
    )
    values: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower not in _READ:
            continue
        if lower in values:
            raise VerificationFailed(f"{lower} came more than once")
        if len(value) > _MAX_HEADER:
            raise VerificationFailed(f"{lower} is longer than {_MAX_HEADER} characters")
        values[lower] = value
    return values


def _required(values: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = values.get(name)
    if value is None:
        raise VerificationFailed(f"{name} is missing")
    if pattern.fullmatch(value) is None:
        raise VerificationFailed(f"{name} is malformed")
    return value


def _attempt(values: Mapping[str, str]) -> int | None:
    if "x-webhook-attempt" not in values:
        return None
    return int(_required(values, "x-webhook-attempt", _ATTEMPT))


def _signatures(values: Mapping[str, str]) -> Sequence[str]:
    """Return the signatures of the version that we know; a sender may add others."""
    if "webhook-signature" not in values:
        raise VerificationFailed("webhook-signature is missing")
    signatures = values["webhook-signature"].split(" ")
    if len(signatures) > _MAX_SIGNATURES:
        raise VerificationFailed(f"webhook-signature has more than {_MAX_SIGNATURES} signatures")
    return [one for one in signatures if _SIGNATURE.fullmatch(one)]


def _each(secret: Secrets) -> Iterable[str]:
    return (secret,) if isinstance(secret, str) else secret


def _key(secret: str) -> bytes:
    """Return the key of a secret; strict, where the standardwebhooks package guesses."""
    with contextlib.suppress(ValueError):
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        if secret.startswith(_SECRET_PREFIX) and len(key) in _KEY_SIZES:
            return key
    raise ValueError("a secret is whsec_ followed by base64 of 24 to 64 bytes")


def _signature(key: bytes, event_id: str, timestamp: datetime, body: bytes) -> str:
    try:
        return Webhook(key).sign(event_id, timestamp, body.decode())
    except UnicodeDecodeError:
        # The package signs text alone; a payload may be any bytes.
        signed = b"%b.%d.%b" % (event_id.encode(), int(timestamp.timestamp()), body)
        return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _any_equal(expected: Iterable[str], given: Sequence[str]) -> bool:
    """Compare each with each in constant time, and all of them, whatever is found."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found
