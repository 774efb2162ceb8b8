"""Signatures that existing verifiers accept.

Standard Webhooks, and GitHub's X-Hub-Signature-256.
"""

import binascii
import hashlib
from collections.abc import Sequence

from webhooks_server.domain.secrets import Secret, hub_key, standard_key
from webhooks_server.domain.subscription import SignatureScheme, SubscriptionConfig
from webhooks_server.domain.times import Instant

Header = tuple[str, str]


def live_secrets(config: SubscriptionConfig, now: Instant) -> tuple[Secret, ...]:
    """Return the secrets that sign now.

    The current one, then the previous one while the overlap lasts.
    """
    previous, expire_time = config.previous_secret, config.previous_secret_expire_time
    if previous is None or expire_time is None or expire_time <= now:
        return (config.secret,)
    return (config.secret, previous)


_BLOCK_BYTES = 64


class Key:
    """A key of HMAC-SHA-256 (RFC 2104), as far as a message has no part in it.

    The library begins with the key for every message, which takes longer than a usual payload.
    """

    def __init__(self, key: bytes) -> None:
        """Take the key as it is shared with the receiver."""
        short = key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()
        block = short.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, message: bytes) -> bytes:
        """Return the 32 bytes of the signature."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class Signer:
    """Signs with these secrets, the current one first; the keys are made once."""

    def __init__(self, schemes: Sequence[SignatureScheme], secrets: Sequence[Secret]) -> None:
        """Take the schemes whose headers are sent, and the secrets that are live."""
        keys = (standard_key(secret) for secret in secrets)
        self._standard = SignatureScheme.STANDARD_HMAC in schemes
        self._standard_keys = [Key(key) for key in keys if key is not None]
        # ServiceStack.Webhooks labels its SHA-256 as sha1; sent so only where asked for.
        names = {
            SignatureScheme.HUB_SHA256: ("X-Hub-Signature-256", "sha256="),
            SignatureScheme.HUB_LEGACY: ("X-Hub-Signature", "sha1="),
        }
        self._hub = [form for scheme, form in names.items() if scheme in schemes]
        self._hub_key = Key(hub_key(secrets[0]))

    def headers(self, message_id: str, timestamp: str, body: bytes) -> list[Header]:
        """Return the signature headers over exactly these bytes.

        Timestamp in whole Unix seconds of this attempt, as it is sent. During a rotation Standard
        Webhooks carries one signature per live secret; the Hub headers have room for one, which is
        the new secret's.
        """
        headers: list[Header] = []
        if self._standard:
            signed = f"{message_id}.{timestamp}.".encode() + body
            signatures = [_standard(key, signed) for key in self._standard_keys]
            headers.append(("webhook-signature", " ".join(signatures)))
        if self._hub:
            digest = self._hub_key.sign(body).hex()
            headers += [(name, label + digest) for name, label in self._hub]
        return headers


def _standard(key: Key, signed: bytes) -> str:
    return "v1," + binascii.b2a_base64(key.sign(signed), newline=False).decode()
