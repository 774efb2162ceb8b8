"""Signatures that existing verifiers accept.

Standard Webhooks, and GitHub's X-Hub-Signature-256.
"""

import base64
import hmac
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


def signature_headers(
    schemes: Sequence[SignatureScheme],
    secrets: Sequence[Secret],
    message_id: str,
    timestamp: int,
    body: bytes,
) -> list[Header]:
    """Return the signature headers over exactly these bytes.

    Timestamp in whole Unix seconds of this attempt.

    During a rotation Standard Webhooks carries one signature per live secret; the Hub headers have
    room for one, which is the new secret's.
    """
    headers: list[Header] = []
    if SignatureScheme.STANDARD_HMAC in schemes:
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        keys = [key for secret in secrets if (key := standard_key(secret)) is not None]
        headers.append(("webhook-signature", " ".join(_standard(key, signed) for key in keys)))
    if SignatureScheme.HUB_SHA256 in schemes:
        headers.append(("X-Hub-Signature-256", "sha256=" + _hub(secrets[0], body)))
    if SignatureScheme.HUB_LEGACY in schemes:
        # ServiceStack.Webhooks labels its SHA-256 so; sent only where asked for.
        headers.append(("X-Hub-Signature", "sha1=" + _hub(secrets[0], body)))
    return headers


def _standard(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _hub(secret: Secret, body: bytes) -> str:
    return hmac.digest(hub_key(secret), body, "sha256").hex()
