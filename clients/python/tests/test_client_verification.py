"""Which requests are trusted."""

import base64
import hashlib
import hmac
import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from email.message import Message

import pytest
from standardwebhooks import Webhook

from webhooks_client import VerificationFailed, verify, verify_hub_signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"text":"hällo"}'.encode()
AGES = timedelta(days=365_00)


def signed(
    body: bytes = BODY, *, secret: str = SECRET, event_id: str = "evt_1", age: float = 0.0
) -> dict[str, str]:
    """Sign as the scheme says, by nothing that the client uses."""
    seconds = int(time.time() - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{event_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{signature}",
    }


def test_the_vector_of_the_specification() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    received = verify(b'{"test": 2432232314}', headers, SECRET, tolerance=AGES)
    assert received.event_id == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert received.timestamp == datetime(2021, 2, 25, 15, 2, 10, tzinfo=UTC)
    with pytest.raises(VerificationFailed, match="away from now"):
        verify(b'{"test": 2432232314}', headers, SECRET)


def test_what_the_reference_signs_is_trusted() -> None:
    now = datetime.now(UTC)
    headers = signed() | {"webhook-signature": Webhook(SECRET).sign("evt_1", now, BODY.decode())}
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    verify(BODY, headers, SECRET)


def test_all_that_a_request_says() -> None:
    headers = signed() | {
        "X-Webhook-Event": "invoice.paid",
        "X-Webhook-Delivery": "dlv_1",
        "X-Webhook-Subscription": "sub_1",
        "X-Webhook-Attempt": "2",
    }
    received = verify(BODY, headers, SECRET)
    assert received.event_id == "evt_1"
    assert received.body == BODY
    assert received.event_type == "invoice.paid"
    assert received.delivery == "dlv_1"
    assert received.subscription == "sub_1"
    assert received.attempt == 2
    assert abs(datetime.now(UTC) - received.timestamp) < timedelta(seconds=10)


def test_a_bare_request_says_less() -> None:
    received = verify(BODY, signed(), SECRET)
    assert (received.event_type, received.delivery, received.attempt) == (None, None, None)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", secrets.token_bytes(1000), b"[]"])
def test_any_bytes_can_be_signed(body: bytes) -> None:
    assert verify(body, signed(body), SECRET).body == body
    with pytest.raises(VerificationFailed):
        verify(body + b"\xff", signed(body), SECRET)


def test_names_of_headers_have_no_case_and_frameworks_no_common_type() -> None:
    headers = signed()
    shouting = {name.upper(): value for name, value in headers.items()}
    message = Message()
    for name, value in headers.items():
        message[name.title()] = value
    for form in (shouting, message, list(headers.items()), iter(headers.items())):
        assert verify(BODY, form, SECRET).event_id == "evt_1"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_lacks_or_repeats(name: str) -> None:
    headers = signed()
    value = headers[name]
    with pytest.raises(VerificationFailed, match=f"{name} came more than once"):
        verify(BODY, [*headers.items(), (name.upper(), value)], SECRET)
    del headers[name]
    with pytest.raises(VerificationFailed, match=f"{name} is missing"):
        verify(BODY, headers, SECRET)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "a.b"),
        ("webhook-id", "x" * 65),
        ("webhook-id", "é"),
        ("webhook-id", "evt_1\n"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "1_700_000_000"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", " 1700000000"),
        ("webhook-timestamp", "99999999999"),
        ("webhook-timestamp", "٣"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,%%%"),
        ("webhook-signature", "v1,a,b"),
        ("webhook-signature", "v2," + "A" * 43 + "="),
        ("webhook-signature", "v1,é"),
        ("x-webhook-attempt", "0"),
        ("x-webhook-attempt", "two"),
    ],
)
def test_a_malformed_header_is_refused_and_nothing_else_happens(name: str, value: str) -> None:
    with pytest.raises(VerificationFailed):
        verify(BODY, signed() | {name: value}, SECRET)


def test_the_bounds_of_headers() -> None:
    headers = signed()
    right = headers["webhook-signature"]
    wrong = "v1," + "A" * 43 + "="
    ten = " ".join([*([wrong] * 9), right])
    verify(BODY, headers | {"webhook-signature": ten}, SECRET)
    with pytest.raises(VerificationFailed, match="more than 10"):
        verify(BODY, headers | {"webhook-signature": f"{ten} {wrong}"}, SECRET)
    padded = f"{right} v9,{'x' * (4096 - len(right) - 4)}"
    verify(BODY, headers | {"webhook-signature": padded}, SECRET)
    with pytest.raises(VerificationFailed, match="longer than 4096"):
        verify(BODY, headers | {"webhook-signature": f"{padded}x"}, SECRET)


@pytest.mark.parametrize("age", [295, -295])
def test_within_five_minutes_either_way(age: float) -> None:
    verify(BODY, signed(age=age), SECRET)


@pytest.mark.parametrize("age", [305, -305])
def test_beyond_five_minutes_either_way(age: float) -> None:
    with pytest.raises(VerificationFailed, match="away from now"):
        verify(BODY, signed(age=age), SECRET)


def test_a_rotation_on_either_side() -> None:
    old, new = signed(secret=SECRET), signed(secret=OTHER)
    verify(BODY, old, [OTHER, SECRET])
    verify(BODY, new, (OTHER, SECRET))
    both = f"{new['webhook-signature']} {old['webhook-signature']} v1a,whatever"
    for secret in (SECRET, OTHER):
        verify(BODY, old | {"webhook-signature": both}, secret)
    with pytest.raises(VerificationFailed):
        verify(BODY, old, OTHER)
    with pytest.raises(VerificationFailed):
        verify(BODY, old, [])


def secret_of(size: int) -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "my secret",
        "whsec_%%%",
        "whsec_a b=",
        "whsec_é",
        SECRET[6:],
        pytest.param(secret_of(23), id="short"),
        pytest.param(secret_of(65), id="long"),
    ],
)
def test_what_is_no_secret_is_an_error_of_the_receiver(secret: str) -> None:
    with pytest.raises(ValueError, match="a secret is whsec_ followed by base64") as caught:
        verify(BODY, signed(), secret)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("size", [24, 64])
def test_keys_of_every_size_that_the_server_takes(size: int) -> None:
    secret = secret_of(size)
    verify(BODY, signed(secret=secret), secret)


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_bit_can_change() -> None:
    headers = signed()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    cases = 0
    for bit in range(len(BODY) * 8):
        with pytest.raises(VerificationFailed):
            verify(flipped(BODY, bit), headers, SECRET)
        cases += 1
    for bit in range(len(key) * 8):
        wrong = "whsec_" + base64.b64encode(flipped(key, bit)).decode()
        with pytest.raises(VerificationFailed):
            verify(BODY, headers, wrong)
        cases += 1
    for name in headers:
        for bit in range(len(headers[name]) * 8):
            value = flipped(headers[name].encode(), bit).decode("latin-1")
            with pytest.raises(VerificationFailed):
                verify(BODY, headers | {name: value}, SECRET, tolerance=AGES)
            cases += 1
    assert cases == 8 * (len(BODY) + len(key) + sum(len(value) for value in headers.values()))


def test_random_requests_are_refused_and_never_crash() -> None:
    source = random.Random(7)  # noqa: S311 - test data
    names = list(signed())
    for _ in range(3000):
        value = "".join(chr(source.randrange(1, 300)) for _ in range(source.randrange(40)))
        with pytest.raises(VerificationFailed):
            verify(BODY, signed() | {source.choice(names): value}, SECRET)


def test_the_hub_vector_of_github() -> None:
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = "It's a Secret to Everybody"
    verify_hub_signature(b"Hello, World!", signature, secret)
    verify_hub_signature(b"Hello, World!", signature, ["another", secret])
    for body, header, key in [
        (b"Hello, World?", signature, secret),
        (b"Hello, World!", signature, secret + "!"),
        (b"Hello, World!", signature.replace("757", "758"), secret),
        (b"Hello, World!", signature.replace("sha256", "sha1"), secret),
        (b"Hello, World!", signature.upper(), secret),
        (b"Hello, World!", "sha256=é", secret),
        (b"Hello, World!", "", secret),
        (b"Hello, World!", None, secret),
    ]:
        with pytest.raises(VerificationFailed, match="X-Hub-Signature-256"):
            verify_hub_signature(body, header, key)
