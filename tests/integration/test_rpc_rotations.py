"""RotateSubscriptionSecret."""

import base64
import hashlib
import hmac
import uuid

import grpc
from google.protobuf.duration_pb2 import Duration

from tests.harness.receiver import Receiver, Request
from tests.harness.requests import create, publish, read, subscribe
from tests.harness.served import Served, refused
from webhooks.v1 import subscription_pb2
from webhooks.v1 import subscription_service_pb2 as pb

PASSPHRASE = "my-own-passphrase"


def standard(secret: str, request: Request) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b"%b.%b.%b" % (
        request.headers["webhook-id"].encode(),
        request.headers["webhook-timestamp"].encode(),
        request.body,
    )
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def hub(secret: str, request: Request) -> str:
    return "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()


async def rotated(
    served: Served, name: str, **fields: object
) -> pb.RotateSubscriptionSecretResponse:
    request = pb.RotateSubscriptionSecretRequest(name=name, **fields)  # type: ignore[arg-type]
    return await served.subscriptions.RotateSubscriptionSecret(request)


async def sent(served: Served, receiver: Receiver) -> Request:
    count = len(receiver.requests)
    await served.publisher.Publish(publish())
    return (await receiver.got(count + 1))[count]


async def test_both_secrets_sign_until_the_overlap_ends(served: Served, receiver: Receiver) -> None:
    made = await subscribe(served, receiver.url)
    first = await rotated(served, made.name, overlap_duration=Duration())
    second = await rotated(served, made.name)
    assert second.secret != first.secret
    assert second.subscription.etag != first.subscription.etag
    end = second.subscription.config.previous_secret_expire_time
    day = end.ToSeconds() - second.subscription.update_time.ToSeconds()
    assert 86_399 <= day <= 86_401
    request = await sent(served, receiver)
    signatures = request.headers["webhook-signature"].split(" ")
    assert signatures == [standard(second.secret, request), standard(first.secret, request)]
    # There is room for one, which is the new one's.
    assert request.headers["x-hub-signature-256"] == hub(second.secret, request)
    # A further rotation ends the older overlap.
    third = await rotated(served, made.name)
    request = await sent(served, receiver)
    signatures = request.headers["webhook-signature"].split(" ")
    assert signatures == [standard(third.secret, request), standard(second.secret, request)]


async def test_without_overlap_the_new_secret_alone_signs(
    served: Served, receiver: Receiver
) -> None:
    made = await subscribe(served, receiver.url)
    answer = await rotated(served, made.name, overlap_duration=Duration())
    assert not answer.subscription.config.HasField("previous_secret_expire_time")
    request = await sent(served, receiver)
    assert request.headers["webhook-signature"] == standard(answer.secret, request)


async def test_a_given_secret_is_used_and_not_told(served: Served, receiver: Receiver) -> None:
    made = await subscribe(served, receiver.url)
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    answer = await rotated(served, made.name, new_secret=secret)
    assert answer.secret == ""
    assert secret not in str(answer)
    request = await sent(served, receiver)
    assert standard(secret, request) in request.headers["webhook-signature"]


async def test_the_same_secret_again_does_not_cost_the_overlap(shared: Served) -> None:
    made = await subscribe(shared)
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    first = await rotated(shared, made.name, new_secret=secret)
    again = await rotated(shared, made.name, new_secret=secret, overlap_duration=Duration())
    assert again.subscription == first.subscription


async def test_a_passphrase_needs_schemes_that_can_use_it(shared: Served) -> None:
    made = await subscribe(shared, "https://a.example/1")
    request = pb.RotateSubscriptionSecretRequest(name=made.name, new_secret=PASSPHRASE)
    refusal = await refused(shared.subscriptions.RotateSubscriptionSecret(request))
    assert list(refusal.fields) == ["new_secret"]
    config = subscription_pb2.SubscriptionConfig(
        signature_schemes=[subscription_pb2.SIGNATURE_SCHEME_HUB_SHA256]
    )
    made = await subscribe(shared, "https://a.example/2", config=config)
    await rotated(shared, made.name, new_secret=PASSPHRASE)


async def test_a_malformed_secret_is_refused_and_not_told(shared: Served) -> None:
    made = await subscribe(shared, "https://a.example/3")
    for secret in ("whsec_!canary!", "whsec_canary\u00e9", "canary", "canary canary"):
        request = pb.RotateSubscriptionSecretRequest(name=made.name, new_secret=secret)
        refusal = await refused(shared.subscriptions.RotateSubscriptionSecret(request))
        assert list(refusal.fields) == ["new_secret"]
        assert "canary" not in repr(refusal)
        config = subscription_pb2.SubscriptionConfig(secret=secret)
        request_with_it = create("https://a.example/3", config=config)
        refusal = await refused(shared.subscriptions.CreateSubscription(request_with_it))
        assert list(refusal.fields) == ["subscription.config.secret"]
        assert "canary" not in repr(refusal)


async def test_an_old_etag_is_refused(shared: Served) -> None:
    made = await subscribe(shared, "https://a.example/4")
    answer = await rotated(shared, made.name, etag=made.etag)
    request = pb.RotateSubscriptionSecretRequest(name=made.name, etag=made.etag)
    refusal = await refused(shared.subscriptions.RotateSubscriptionSecret(request))
    assert refusal.code is grpc.StatusCode.ABORTED
    assert refusal.reason == "ETAG_MISMATCH"
    assert refusal.metadata == {"current_etag": answer.subscription.etag}
    assert await read(shared, made.name) == answer.subscription


async def test_a_request_id_gets_the_first_secret_again(shared: Served) -> None:
    made = await subscribe(shared, "https://a.example/5")
    request_id = str(uuid.uuid4())
    first = await rotated(shared, made.name, request_id=request_id)
    await rotated(shared, made.name)
    again = await rotated(shared, made.name, request_id=request_id)
    assert again == first
    request = pb.RotateSubscriptionSecretRequest(name=made.name, request_id=request_id, etag='"1"')
    refusal = await refused(shared.subscriptions.RotateSubscriptionSecret(request))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.fields) == ["request_id"]
