"""Signatures, judged by the verifiers that receivers use."""

import base64
import hashlib
import hmac
import json
import secrets as random_source
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from webhooks_server.domain.secrets import (
    Secret,
    new_signing_secret,
    signing_secret_problem,
    standard_key,
)
from webhooks_server.domain.signing import Key, Signer, live_secrets
from webhooks_server.domain.subscription import SignatureScheme, SubscriptionConfig
from webhooks_server.domain.times import Instant

BOTH = (SignatureScheme.STANDARD_HMAC, SignatureScheme.HUB_SHA256)
BODY = json.dumps({"text": "hällo", "n": 2**70}, ensure_ascii=False).encode()


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def signed(
    secrets: list[Secret], body: bytes = BODY, timestamp: int | None = None
) -> dict[str, str]:
    moment = now() if timestamp is None else timestamp
    headers = dict(Signer(BOTH, secrets).headers("evt_1", str(moment), body))
    return {"webhook-id": "evt_1", "webhook-timestamp": str(moment)} | headers


def test_the_reference_verifier_accepts() -> None:
    secret = new_signing_secret()
    Webhook(secret.reveal()).verify(BODY, signed([secret]))


def test_the_vector_of_the_specification() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, libraries' shared test vector
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = dict(
        Signer([SignatureScheme.STANDARD_HMAC], [secret]).headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
        )
    )
    assert headers == {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}


def test_during_a_rotation_both_secrets_verify() -> None:
    new, old = new_signing_secret(), new_signing_secret()
    headers = signed([new, old])
    Webhook(new.reveal()).verify(BODY, headers)
    Webhook(old.reveal()).verify(BODY, headers)
    hub = hmac.new(new.reveal().encode(), BODY, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={hub}"


def test_the_overlap_ends() -> None:
    new, old = new_signing_secret(), new_signing_secret()
    config = SubscriptionConfig(
        url="https://example.com",
        secret=new,
        previous_secret=old,
        previous_secret_expire_time=Instant(100),
    )
    assert live_secrets(config, Instant(99)) == (new, old)
    assert live_secrets(config, Instant(100)) == (new,)


def test_any_changed_bit_of_the_body_fails() -> None:
    secret = new_signing_secret()
    headers, verifier = signed([secret]), Webhook(secret.reveal())
    for _ in range(200):
        bit = random_source.randbelow(len(BODY) * 8)
        changed = bytearray(BODY)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
            verifier.verify(bytes(changed), headers)


def test_the_legacy_header_only_on_request() -> None:
    secret = Secret("a passphrase".replace(" ", "-"))
    headers = dict(Signer([SignatureScheme.HUB_LEGACY], [secret]).headers("e", "1", b"{}"))
    mac = hmac.new(secret.reveal().encode(), b"{}", hashlib.sha256).hexdigest()
    assert headers == {"X-Hub-Signature": f"sha1={mac}"}
    assert "X-Hub-Signature" not in signed([secret])


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    "text",
    [
        whsec(24),
        whsec(64),
        "eightchr",
        "~" * 256,
        pytest.param(new_signing_secret().reveal(), id="made"),
    ],
)
def test_good_secrets(text: str) -> None:
    assert signing_secret_problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        whsec(23),
        whsec(65),
        "whsec_",
        "whsec_*",
        whsec(24)[:-1] + "_",
        "7 chars",
        "with space",
        "x" * 257,
        "sevench",
        "häääääää",
    ],
)
def test_bad_secrets(text: str) -> None:
    assert signing_secret_problem(text)


def test_a_secret_never_prints() -> None:
    secret = new_signing_secret()
    shown = f"{secret!r} {secret} {[secret]} {SubscriptionConfig(url='u', secret=secret)}"
    assert secret.reveal() not in shown
    assert standard_key(secret)


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64, 65, 200])
def test_a_prepared_key_signs_as_the_library_does_again_and_again(size: int) -> None:
    shared = random_source.token_bytes(size)
    key = Key(shared)
    for message in (b"", b"a", BODY, BODY * 1000, b"a"):
        assert key.sign(message) == hmac.digest(shared, message, "sha256")
