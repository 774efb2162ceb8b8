"""UpdateSubscription with allow_missing, and repeated."""

import uuid

import grpc

from tests.harness.requests import URL, create, read
from tests.harness.served import PARENT, Served, refused
from tests.harness.updates import differing, full, update
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb

Config = pb.SubscriptionConfig


async def test_a_missing_one_is_refused_unless_that_is_allowed(shared: Served) -> None:
    name = f"{PARENT}/subscriptions/missing"
    request = update(name, config=Config(url=f"{URL}/missing"), events=["a"])
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    request.allow_missing = True
    request.subscription.etag = '"1"'
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    request.subscription.etag = ""
    created = await shared.subscriptions.UpdateSubscription(request)
    assert created.subscription.name == name
    assert created.secret.startswith("whsec_")
    again = await shared.subscriptions.UpdateSubscription(request)
    assert again.secret == ""
    assert again.subscription == created.subscription


async def test_what_is_created_must_be_whole(shared: Served) -> None:
    request = update(f"{PARENT}/subscriptions/half", display_name="x")
    request.allow_missing = True
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.fields) == {"subscription.events", "subscription.config.url"}
    # Of one that exists, a part is enough.
    before = await full(shared)
    request = update(before.name, display_name="x")
    request.allow_missing = True
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    assert differing(before, after) == {"display_name"}


async def test_a_deleted_one_is_not_created_again(shared: Served) -> None:
    before = await full(shared)
    await shared.subscriptions.DeleteSubscription(
        service_pb.DeleteSubscriptionRequest(name=before.name)
    )
    request = update(before.name, config=Config(url=f"{URL}/deleted"), events=["a"])
    request.allow_missing = True
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS


async def test_a_request_id_makes_a_creation_by_update_repeatable(shared: Served) -> None:
    request = update(
        f"{PARENT}/subscriptions/repeat", config=Config(url=f"{URL}/repeat"), events=["a"]
    )
    request.allow_missing = True
    request.request_id = str(uuid.uuid4())
    first = await shared.subscriptions.UpdateSubscription(request)
    assert first.secret
    assert await shared.subscriptions.UpdateSubscription(request) == first
    request.subscription.display_name = "other"
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert (await read(shared, first.subscription.name)).display_name == ""


async def test_a_request_id_makes_an_update_repeatable(shared: Served) -> None:
    before = await full(shared)
    request = update(before.name, display_name="once")
    request.request_id = str(uuid.uuid4())
    for allow_missing in (False, True):
        request.allow_missing = allow_missing
        request.request_id = str(uuid.uuid4())
        first = await shared.subscriptions.UpdateSubscription(request)
        changed = update(before.name, display_name="since then")
        await shared.subscriptions.UpdateSubscription(changed)
        again = await shared.subscriptions.UpdateSubscription(request)
        assert again == first
        assert again.secret == ""
        assert (await read(shared, before.name)).display_name == "since then"


async def test_a_request_id_stands_for_one_request_whatever_that_did(shared: Served) -> None:
    updating = update(
        f"{PARENT}/subscriptions/once", config=Config(url=f"{URL}/once"), events=["a"]
    )
    updating.allow_missing = True
    updating.request_id = str(uuid.uuid4())
    made = await shared.subscriptions.UpdateSubscription(updating)
    creating = create(f"{URL}/another")
    creating.request_id = updating.request_id
    rotating = service_pb.RotateSubscriptionSecretRequest(
        name=made.subscription.name, request_id=updating.request_id
    )
    for refused_call in (
        shared.subscriptions.CreateSubscription(creating),
        shared.subscriptions.RotateSubscriptionSecret(rotating),
    ):
        assert (await refused(refused_call)).reason == "REQUEST_ID_REUSED"
    # The other way round: the id of a creation for an update that would create, or change.
    creating.request_id = str(uuid.uuid4())
    await shared.subscriptions.CreateSubscription(creating)
    updating.request_id = creating.request_id
    refusal = await refused(shared.subscriptions.UpdateSubscription(updating))
    assert refusal.reason == "REQUEST_ID_REUSED"
    updating.subscription.name = f"{PARENT}/subscriptions/never"
    updating.subscription.config.url = f"{URL}/never"
    refusal = await refused(shared.subscriptions.UpdateSubscription(updating))
    assert refusal.reason == "REQUEST_ID_REUSED"


async def test_a_repeated_update_never_tells_the_secret(shared: Served) -> None:
    """Not even one that changed nothing: its answer is the subscription as it was created."""
    made = await full(shared)
    request = update(made.name, display_name=made.display_name)
    request.allow_missing = True
    request.subscription.config.url = made.config.url
    request.subscription.events[:] = made.events
    request.request_id = str(uuid.uuid4())
    for _ in range(3):
        answer = await shared.subscriptions.UpdateSubscription(request)
        assert (answer.subscription, answer.secret) == (made, "")
