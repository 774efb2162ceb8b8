"""SubscriptionService, but for updates and secrets."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.duration_pb2 import Duration

from tests.harness.receiver import Receiver
from tests.harness.requests import URL, create, publish, read, subscribe, unsubscribe
from tests.harness.served import PARENT, Served, open_served, refused
from webhooks.v1 import delivery_service_pb2
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.ports import DeliveryStore, Stores

Config = pb.SubscriptionConfig


async def test_what_was_given_and_what_was_not_can_be_read_back(served: Served) -> None:
    answer = await served.subscriptions.CreateSubscription(create(subscription_id="first"))
    made = answer.subscription
    assert made.name == f"{PARENT}/subscriptions/first"
    assert str(uuid.UUID(made.uid)) == made.uid
    assert list(made.events) == ["*"]
    assert made.active
    assert made.state == pb.Subscription.STATE_ACTIVE
    assert made.create_time == made.update_time
    assert made.etag.startswith('"')
    assert made.config.url == URL
    assert made.config.content_type == "application/json"
    assert made.config.secret_set
    assert made.config.secret == ""
    assert made.config.timeout == Duration(seconds=15)
    assert made.config.max_in_flight == 10
    assert list(made.config.signature_schemes) == [
        pb.SIGNATURE_SCHEME_STANDARD_HMAC,
        pb.SIGNATURE_SCHEME_HUB_SHA256,
    ]
    assert not made.HasField("retry_policy")
    assert answer.secret.startswith("whsec_")
    assert await read(served, made.name) == made


async def test_every_field_is_kept(served: Served) -> None:
    wanted = pb.Subscription(
        display_name="Mine ü",
        events=["a.*", "b"],
        active=False,
        annotations={"team": "x", "ключ": ""},
        retry_policy=pb.RetryPolicy(
            max_attempts=3,
            initial_backoff=Duration(nanos=10_000_000),
            max_backoff=Duration(seconds=60),
            backoff_multiplier=1.5,
            max_age=Duration(seconds=3600),
            client_error_policy=pb.CLIENT_ERROR_POLICY_FAIL_DELIVERY,
        ),
        config=Config(
            url=URL,
            content_type="json",
            secret="a passphrase of mine".replace(" ", "-"),
            headers={"X-Mine": "1"},
            secret_headers={"Authorization": "Bearer canary", "X-Key": "k"},
            timeout=Duration(seconds=2, nanos=500_000_000),
            max_in_flight=3,
            max_requests_per_minute=90,
        ),
    )
    answer = await served.subscriptions.CreateSubscription(
        service_pb.CreateSubscriptionRequest(parent=PARENT, subscription=wanted, skip_ping=True)
    )
    made = answer.subscription
    assert answer.secret == ""
    assert made.state == pb.Subscription.STATE_INACTIVE
    assert made.HasField("active")
    for field in ("display_name", "events", "annotations", "retry_policy"):
        assert getattr(made, field) == getattr(wanted, field)
    assert made.config.headers == wanted.config.headers
    assert not made.config.secret_headers
    assert list(made.config.secret_header_names) == ["Authorization", "X-Key"]
    assert made.config.timeout == wanted.config.timeout
    assert made.config.max_requests_per_minute == 90
    assert list(made.config.signature_schemes) == [pb.SIGNATURE_SCHEME_HUB_SHA256]
    assert "canary" not in str(made)


async def test_a_host_in_another_alphabet_is_kept_as_what_is_asked_for(shared: Served) -> None:
    made = await shared.subscriptions.CreateSubscription(create("https://bücher.example/a?b=c"))
    created = made.subscription
    assert created.config.url == "https://xn--bcher-kva.example/a?b=c"
    change = pb.Subscription(name=created.name, config=Config(url="https://straße.example/"))
    answer = await shared.subscriptions.UpdateSubscription(
        service_pb.UpdateSubscriptionRequest(subscription=change)
    )
    assert answer.subscription.config.url == "https://xn--strae-oqa.example/"


async def test_an_id_is_made_where_there_is_none(shared: Served) -> None:
    made = await subscribe(shared, f"{URL}/made")
    assert len(made.name.removeprefix(f"{PARENT}/subscriptions/sub_")) == 32


async def test_an_id_stays_taken_after_the_deletion(shared: Served) -> None:
    await shared.subscriptions.CreateSubscription(create(f"{URL}/1", subscription_id="taken"))
    for _ in range(2):
        again = create(f"{URL}/2", subscription_id="taken")
        refusal = await refused(shared.subscriptions.CreateSubscription(again))
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
        assert refusal.reason == "RESOURCE_EXISTS"
        assert "ResourceInfo" in refusal.details
        with_missing = service_pb.DeleteSubscriptionRequest(
            name=f"{PARENT}/subscriptions/taken", allow_missing=True
        )
        await shared.subscriptions.DeleteSubscription(with_missing)


async def test_the_same_url_and_events_again_are_refused(shared: Served) -> None:
    first = await subscribe(shared, f"{URL}/same", "a", "b")
    same = create(f"{URL}/same", events=("b", "a"))
    refusal = await refused(shared.subscriptions.CreateSubscription(same))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "RESOURCE_EXISTS"
    await subscribe(shared, f"{URL}/same", "a")
    await unsubscribe(shared, first.name)
    await shared.subscriptions.CreateSubscription(same)


async def test_validation_stores_nothing_and_tells_no_secret(shared: Served) -> None:
    request = create(f"{URL}/v", subscription_id="validated")
    request.validate_only = True
    answer = await shared.subscriptions.CreateSubscription(request)
    assert answer.subscription.config.url == f"{URL}/v"
    assert answer.secret == ""
    absent = service_pb.GetSubscriptionRequest(name=f"{PARENT}/subscriptions/validated")
    refusal = await refused(shared.subscriptions.GetSubscription(absent))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert refusal.reason == "RESOURCE_NOT_FOUND"
    request.subscription.config.url = "ftp://x.example"
    refusal = await refused(shared.subscriptions.CreateSubscription(request))
    assert refusal.reason == "URL_NOT_ALLOWED"


async def test_a_request_id_makes_creation_repeatable(served: Served, receiver: Receiver) -> None:
    request = create(receiver.url)
    request.skip_ping = False
    request.request_id = str(uuid.uuid4())
    first = await served.subscriptions.CreateSubscription(request)
    assert first.secret
    again = await served.subscriptions.CreateSubscription(request)
    assert again == first
    await receiver.got(1)
    request.request_id = request.request_id.upper()
    # The id is the same UUID, the request is another one.
    refusal = await refused(served.subscriptions.CreateSubscription(request))
    assert refusal.reason == "REQUEST_ID_REUSED"
    assert list(refusal.fields) == ["request_id"]
    await asyncio.sleep(0.1)
    assert len(receiver.requests) == 1


async def test_what_is_published_in_a_pause_flows_after_it(
    served: Served, receiver: Receiver
) -> None:
    made = await subscribe(served, receiver.url)
    pause = service_pb.PauseSubscriptionRequest(name=made.name, reason="repair")
    paused = (await served.subscriptions.PauseSubscription(pause)).subscription
    assert paused.state == pb.Subscription.STATE_PAUSED
    assert paused.etag != made.etag
    for _ in range(3):
        answer = await served.publisher.Publish(publish())
        assert answer.matched_subscription_count == 1
    held = await served.deliveries.ListDeliveries(
        delivery_service_pb2.ListDeliveriesRequest(parent=made.name)
    )
    assert [one.state_reason for one in held.deliveries] == ["paused"] * 3
    assert receiver.requests == []
    resume = service_pb.ResumeSubscriptionRequest(name=made.name)
    resumed = await served.subscriptions.ResumeSubscription(resume)
    assert resumed.held_delivery_count == 3
    assert resumed.subscription.state == pb.Subscription.STATE_ACTIVE
    await receiver.got(3)


class Uncountable:
    """Deliveries that cannot be counted."""

    def __init__(self, real: DeliveryStore) -> None:
        self._real = real

    async def pending(self, tenant: str, subscription: str) -> int:
        raise StoreUnavailable

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_a_resume_that_fails_has_changed_nothing(tmp_path: Path) -> None:
    """What is committed is never answered with an error, nor kept from the engine."""

    def front(stores: Stores) -> Stores:
        return replace(stores, deliveries=cast("DeliveryStore", Uncountable(stores.deliveries)))

    async with open_served(tmp_path, front=front) as served:
        made = await subscribe(served)
        pause = service_pb.PauseSubscriptionRequest(name=made.name)
        paused = (await served.subscriptions.PauseSubscription(pause)).subscription
        resume = service_pb.ResumeSubscriptionRequest(name=made.name)
        refusal = await refused(served.subscriptions.ResumeSubscription(resume))
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert await read(served, made.name) == paused


async def test_deletion_answers_with_what_was_deleted(served: Served, receiver: Receiver) -> None:
    made = await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    await receiver.got(1)
    request = service_pb.DeleteSubscriptionRequest(name=made.name, etag='"zz"')
    refusal = await refused(served.subscriptions.DeleteSubscription(request))
    assert refusal.code is grpc.StatusCode.ABORTED
    assert refusal.reason == "ETAG_MISMATCH"
    assert refusal.metadata == {"current_etag": made.etag}
    request.etag = made.etag
    assert (await served.subscriptions.DeleteSubscription(request)).subscription == made
    refusal = await refused(served.subscriptions.DeleteSubscription(request))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    request.allow_missing = True
    answer = await served.subscriptions.DeleteSubscription(request)
    assert not answer.HasField("subscription")
    history = await served.deliveries.ListDeliveries(
        delivery_service_pb2.ListDeliveriesRequest(parent=made.name)
    )
    assert len(history.deliveries) == 1


async def test_lists_are_filtered_and_newest_first(served: Served) -> None:
    for number in range(3):
        events = ("x", f"n.{number}")
        await served.subscriptions.CreateSubscription(
            create(f"{URL}/{number}", subscription_id=f"n{number}", events=events)
        )
    await served.subscriptions.PauseSubscription(
        service_pb.PauseSubscriptionRequest(name=f"{PARENT}/subscriptions/n1")
    )

    async def listed(text: str, parent: str = PARENT) -> list[str]:
        request = service_pb.ListSubscriptionsRequest(parent=parent, filter=text)
        found = (await served.subscriptions.ListSubscriptions(request)).subscriptions
        return [one.name.rpartition("/")[2] for one in found]

    assert await listed("") == ["n2", "n1", "n0"]
    assert await listed("", "tenants/-") == ["n2", "n1", "n0"]
    assert await listed("state = STATE_PAUSED") == ["n1"]
    assert await listed("state != STATE_PAUSED") == ["n2", "n0"]
    assert await listed("events:n.2") == ["n2"]
    assert await listed(f'config.url = "{URL}/0"') == ["n0"]
    assert await listed(f'config.url = "{URL}/*" AND events:x') == ["n2", "n1", "n0"]
    assert await listed('creator = "nobody"') == []
