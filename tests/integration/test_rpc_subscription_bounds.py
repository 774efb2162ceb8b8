"""The input bounds of subscriptions, each at its edge and one beyond (security.md, 5)."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.harness.requests import URL, create, read, subscribe
from tests.harness.served import PARENT, Served, open_served, refused
from tests.harness.subscription_edges import DAY, EDGES, span
from webhooks.v1 import admin_service_pb2
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.egress import EgressPolicy

Config = pb.SubscriptionConfig


Retry = pb.RetryPolicy


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """No two live subscriptions may have the same URL and events."""
    return itertools.count()


def request_of(wanted: pb.Subscription, number: int) -> service_pb.CreateSubscriptionRequest:
    """The smallest request that is allowed, with these fields in it."""
    request = create(f"{URL}/{number}", events=() if wanted.events else ("*",))
    request.subscription.MergeFrom(wanted)
    return request


@pytest.mark.parametrize("name", EDGES)
async def test_at_the_edge_it_is_accepted(
    shared: Served, numbers: Iterator[int], name: str
) -> None:
    _, allowed, _ = EDGES[name]
    request = request_of(allowed, next(numbers))
    made = (await shared.subscriptions.CreateSubscription(request)).subscription
    kept = await read(shared, made.name)
    assert kept == made
    assert kept.display_name == allowed.display_name
    assert dict(kept.annotations) == dict(allowed.annotations)
    assert dict(kept.config.headers) == dict(allowed.config.headers)


@pytest.mark.parametrize("name", EDGES)
async def test_beyond_the_edge_it_is_refused(
    shared: Served, numbers: Iterator[int], name: str
) -> None:
    field, _, forbidden = EDGES[name]
    request = request_of(forbidden, next(numbers))
    refusal = await refused(shared.subscriptions.CreateSubscription(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"
    assert list(refusal.fields) == [f"subscription.{field}"]


RESERVED = (
    "Host Content-Type content-length Transfer-Encoding Connection TE Trailer Upgrade Expect"
    " Keep-Alive User-Agent Cookie Accept-Encoding traceparent tracestate Proxy-Authorization"
    " webhook-id Webhook-Mine X-Webhook-Event X-Hub-Signature ce-id"
).split()


@pytest.mark.parametrize("name", [*RESERVED, "", "a b", "a:b", "é", "a\r\nb", "a\0"])
async def test_a_header_that_is_ours_or_none_is_refused(shared: Served, name: str) -> None:
    for config in (Config(headers={name: ""}), Config(secret_headers={name: ""})):
        refusal = await refused(shared.subscriptions.CreateSubscription(create(config=config)))
        field = "headers" if config.headers else "secret_headers"
        assert list(refusal.fields) == [f"subscription.config.{field}"]


async def test_a_secret_value_is_never_told(shared: Served) -> None:
    config = Config(secret_headers={"X-Key": "canary\n"}, secret="canary with spaces")
    refusal = await refused(shared.subscriptions.CreateSubscription(create(config=config)))
    assert set(refusal.fields) == {
        "subscription.config.secret_headers",
        "subscription.config.secret",
    }
    assert "canary" not in repr(refusal)


async def test_a_header_given_twice_is_refused(shared: Served) -> None:
    config = Config(headers={"X-Key": "1"}, secret_headers={"x-key": "2"})
    refusal = await refused(shared.subscriptions.CreateSubscription(create(config=config)))
    assert list(refusal.fields) == ["subscription.config.headers"]


@pytest.mark.parametrize(
    "wanted",
    [
        pb.Subscription(ordered=True),
        pb.Subscription(filter="a = 1"),
        pb.Subscription(config=Config(insecure_ssl=True)),
        pb.Subscription(config=Config(payload_format=pb.PAYLOAD_FORMAT_ENVELOPE)),
        pb.Subscription(config=Config(payload_format=pb.PAYLOAD_FORMAT_CLOUDEVENTS_BINARY)),
        pb.Subscription(config=Config(verification_mode=pb.VERIFICATION_MODE_OPTIONS_HANDSHAKE)),
        pb.Subscription(config=Config(content_type="form")),
        pb.Subscription(config=Config(content_type="application/x-www-form-urlencoded")),
        pb.Subscription(config=Config(signature_schemes=[pb.SIGNATURE_SCHEME_STANDARD_ED25519])),
    ],
    ids=lambda wanted: " ".join(str(wanted).split()),
)
async def test_what_is_not_built_yet_is_refused(shared: Served, wanted: pb.Subscription) -> None:
    refusal = await refused(shared.subscriptions.CreateSubscription(request_of(wanted, 0)))
    assert refusal.reason == "INVALID_FIELD"
    (text,) = refusal.fields.values()
    assert text.endswith("is not supported yet")
    made = await subscribe(shared, f"{URL}/{id(wanted)}")
    wanted.name = made.name
    update = service_pb.UpdateSubscriptionRequest(subscription=wanted)
    refusal = await refused(shared.subscriptions.UpdateSubscription(update))
    assert text in refusal.fields.values()
    assert await read(shared, made.name) == made


@pytest.mark.parametrize(
    "wanted",
    [
        pb.Subscription(config=Config(payload_format=99)),  # type: ignore[arg-type]
        pb.Subscription(config=Config(verification_mode=99)),  # type: ignore[arg-type]
        pb.Subscription(config=Config(signature_schemes=[99])),  # type: ignore[list-item]
        pb.Subscription(config=Config(signature_schemes=[0])),  # type: ignore[list-item]
        pb.Subscription(config=Config(content_type="text/plain")),
        pb.Subscription(config=Config(timeout=Duration(seconds=1, nanos=-1))),
        pb.Subscription(config=Config(timeout=Duration(seconds=315_576_000_001))),
        pb.Subscription(retry_policy=Retry(client_error_policy=99)),  # type: ignore[arg-type]
        pb.Subscription(retry_policy=Retry(backoff_multiplier=float("nan"))),
        pb.Subscription(retry_policy=Retry(backoff_multiplier=float("inf"))),
        pb.Subscription(display_name="a\0"),
        pb.Subscription(annotations={"a": "\0"}),
        pb.Subscription(annotations={"\0": ""}),
        pb.Subscription(events=["é"]),
    ],
    ids=lambda wanted: " ".join(str(wanted).split()),
)
async def test_what_is_malformed_is_refused(shared: Served, wanted: pb.Subscription) -> None:
    refusal = await refused(shared.subscriptions.CreateSubscription(request_of(wanted, 0)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refusal.fields) == 1


async def test_all_that_is_wrong_is_told_at_once(shared: Served) -> None:
    wanted = pb.Subscription(
        display_name="x" * 64,
        ordered=True,
        config=Config(url="ftp://x.example", timeout=Duration(), secret="short"),
        retry_policy=Retry(max_attempts=-1),
    )
    request = service_pb.CreateSubscriptionRequest(parent=PARENT, subscription=wanted)
    refusal = await refused(shared.subscriptions.CreateSubscription(request))
    assert set(refusal.fields) == {
        f"subscription.{field}"
        for field in (
            "display_name",
            "ordered",
            "events",
            "config.url",
            "config.timeout",
            "config.secret",
            "retry_policy.max_attempts",
        )
    }


URLS_REFUSED = [
    "ftp://a.example",
    "//a.example",
    "https://user@a.example",
    "https://a.example/#x",
    "https://a.example/\u00e9",
    "https://a.example/a b",
    "https://a.example/%00",
    "https://a.example\\b",
    "https://a.example:0/",
    "https://a.example:99999/",
    "https://single/",
    "https://1.2.3/",
    "https://0x7f.1/",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", URLS_REFUSED)
async def test_a_url_that_is_not_allowed_is_refused(shared: Served, url: str) -> None:
    refusal = await refused(shared.subscriptions.CreateSubscription(create(url)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "URL_NOT_ALLOWED"
    assert list(refusal.fields) == ["subscription.config.url"]


async def test_which_urls_are_allowed_is_a_setting(tmp_path: Path) -> None:
    policy = EgressPolicy(allow_http=False, allow_loopback=False)
    async with open_served(tmp_path, egress=policy) as served:
        await subscribe(served, "https://a.example/hook")
        for url in ("http://a.example/hook", "https://localhost/hook", "https://127.0.0.1:1/"):
            refusal = await refused(served.subscriptions.CreateSubscription(create(url)))
            assert refusal.reason == "URL_NOT_ALLOWED"


@pytest.mark.parametrize("given", ["a", "0", "a" * 63, "a-b_c", "9-"])
async def test_an_id_of_the_grammar_is_accepted(
    shared: Served, numbers: Iterator[int], given: str
) -> None:
    request = create(f"{URL}/{next(numbers)}", subscription_id=given)
    made = (await shared.subscriptions.CreateSubscription(request)).subscription
    assert made.name == f"{PARENT}/subscriptions/{given}"


@pytest.mark.parametrize("given", ["A", "a" * 64, "-a", "_a", "a.b", "a/b", "é", "a\n", "-"])
async def test_an_id_beyond_the_grammar_is_refused(shared: Served, given: str) -> None:
    request = create(subscription_id=given)
    refusal = await refused(shared.subscriptions.CreateSubscription(request))
    assert list(refusal.fields) == ["subscription_id"]
    get = service_pb.GetSubscriptionRequest(name=f"{PARENT}/subscriptions/{given}")
    refusal = await refused(shared.subscriptions.GetSubscription(get))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["name"]


@pytest.mark.parametrize(
    "request_id", ["x", "0" * 36, "12345678-1234-1234-1234-12345678901", "{" + "0" * 34 + "}"]
)
async def test_a_request_id_must_be_a_uuid(shared: Served, request_id: str) -> None:
    request = create()
    request.request_id = request_id
    refusal = await refused(shared.subscriptions.CreateSubscription(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["request_id"]


async def test_a_reason_has_at_most_256_characters(shared: Served) -> None:
    made = await subscribe(shared, f"{URL}/reason")
    pause = service_pb.PauseSubscriptionRequest(name=made.name, reason="🙂" * 256)
    await shared.subscriptions.PauseSubscription(pause)
    await shared.admin.PauseRelay(admin_service_pb2.PauseRelayRequest(reason="r" * 256))
    await shared.admin.ResumeRelay(admin_service_pb2.ResumeRelayRequest())
    for reason in ("r" * 257, "\0"):
        pause.reason = reason
        refusal = await refused(shared.subscriptions.PauseSubscription(pause))
        assert list(refusal.fields) == ["reason"]
        relay = admin_service_pb2.PauseRelayRequest(reason=reason)
        assert list((await refused(shared.admin.PauseRelay(relay))).fields) == ["reason"]


async def test_an_overlap_lasts_0_to_7_days(shared: Served) -> None:
    made = await subscribe(shared, f"{URL}/overlap")
    rotate = service_pb.RotateSubscriptionSecretRequest(name=made.name)
    for allowed in (span(7 * DAY), span(0)):
        rotate.overlap_duration.CopyFrom(allowed)
        await shared.subscriptions.RotateSubscriptionSecret(rotate)
    for forbidden in (span(-1), span(7 * DAY, 1), span(0, -1)):
        rotate.overlap_duration.CopyFrom(forbidden)
        refusal = await refused(shared.subscriptions.RotateSubscriptionSecret(rotate))
        assert list(refusal.fields) == ["overlap_duration"]
