"""UpdateSubscription: masks and etags."""

from dataclasses import replace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.harness.requests import URL, read
from tests.harness.served import Served, refused
from tests.harness.updates import differing, full, update
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.subscription import Subscription

Config = pb.SubscriptionConfig


POPULATED = {
    "active": pb.Subscription(active=True),
    "display_name": pb.Subscription(display_name="new"),
    "events": pb.Subscription(events=["new"]),
    "annotations": pb.Subscription(annotations={"new": ""}),
    "config.url": pb.Subscription(config=Config(url=f"{URL}/new")),
    "config.max_in_flight": pb.Subscription(config=Config(max_in_flight=7)),
    "config.max_requests_per_minute": pb.Subscription(config=Config(max_requests_per_minute=7)),
    "config.timeout": pb.Subscription(config=Config(timeout=Duration(seconds=7))),
    "config.headers": pb.Subscription(config=Config(headers={"X-New": "2"})),
    "config.secret_header_names": pb.Subscription(config=Config(secret_headers={"X-New": "2"})),
    "retry_policy.max_attempts": pb.Subscription(retry_policy=pb.RetryPolicy(max_attempts=9)),
    "retry_policy.max_age": pb.Subscription(
        retry_policy=pb.RetryPolicy(max_age=Duration(seconds=9))
    ),
    "": pb.Subscription(uid="x", creator="x", state=pb.Subscription.STATE_PAUSED),
}


@pytest.mark.parametrize("changed", POPULATED)
async def test_without_a_mask_what_is_populated_changes_and_nothing_else(
    shared: Served, changed: str
) -> None:
    before = await full(shared)
    wanted = pb.Subscription(name=before.name)
    wanted.MergeFrom(POPULATED[changed])
    request = service_pb.UpdateSubscriptionRequest(subscription=wanted)
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    assert differing(before, after) == ({changed} if changed else set())
    assert await read(shared, before.name) == after
    assert (after.etag != before.etag) == bool(changed)
    assert (after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()) == bool(changed)


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("display_name", {"display_name"}),
        ("annotations", {"annotations"}),
        ("active", {"active"}),
        ("config.headers", {"config.headers"}),
        ("config.secret_headers", {"config.secret_header_names"}),
        ("config.timeout", {"config.timeout"}),
        ("config.max_in_flight", {"config.max_in_flight"}),
        ("config.max_requests_per_minute", {"config.max_requests_per_minute"}),
        ("config.signature_schemes", {"config.signature_schemes"}),
        ("retry_policy.max_backoff", {"retry_policy.max_backoff"}),
        (
            "retry_policy",
            {
                f"retry_policy.{name}"
                for name in (
                    "max_attempts",
                    "initial_backoff",
                    "max_backoff",
                    "backoff_multiplier",
                    "max_age",
                    "client_error_policy",
                )
            },
        ),
        ("uid", set()),
        ("state", set()),
        ("etag", set()),
        ("config.secret_set", set()),
        ("config.previous_secret_expire_time", set()),
    ],
)
async def test_what_a_mask_names_and_the_message_leaves_out_gets_its_default(
    shared: Served, path: str, changed: set[str]
) -> None:
    before = await full(shared)
    # Populated, but not in the mask.
    request = update(before.name, path, events=["ignored"])
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    assert differing(before, after) == changed


async def test_a_mask_may_name_several_fields(shared: Served) -> None:
    before = await full(shared)
    request = update(
        before.name,
        "events",
        "config.url",
        "active",
        config=Config(url=f"{URL}/several"),
        events=["a", "b"],
        active=True,
    )
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    assert differing(before, after) == {"events", "config.url", "active"}
    assert list(after.events) == ["a", "b"]


@pytest.mark.parametrize("path", ["*", "config"])
async def test_secret_fields_survive_a_full_replacement(shared: Served, path: str) -> None:
    before = await full(shared)
    config = Config(url=f"{URL}/star")
    request = update(before.name, path, config=config, events=["new"])
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    changed = differing(before, after)
    assert "config.secret_header_names" not in changed
    assert {"config.url", "config.headers", "config.timeout"} <= changed
    assert ("events" in changed) == (path == "*")
    assert ("display_name" in changed) == (path == "*")
    config.secret_headers["X-Other"] = "y"
    after = (
        await shared.subscriptions.UpdateSubscription(
            update(before.name, path, config=config, events=["new"])
        )
    ).subscription
    assert list(after.config.secret_header_names) == ["X-Other"]


@pytest.mark.parametrize(
    "path",
    ["nothing", "config.nothing", "display_name.x", "annotations.old", "", "events.x", "a.*"],
)
async def test_an_unknown_path_is_refused(shared: Served, path: str) -> None:
    before = await full(shared)
    request = update(before.name, "display_name", path, display_name="x")
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_UPDATE_MASK"
    assert list(refusal.fields) == ["update_mask"]
    assert await read(shared, before.name) == before


@pytest.mark.parametrize("paths", [(), ("config.secret",), ("*",), ("config",)])
async def test_the_secret_of_an_existing_one_is_refused(
    shared: Served, paths: tuple[str, ...]
) -> None:
    before = await full(shared)
    config = Config(url=before.config.url, secret="x" * 30)
    request = update(before.name, *paths, config=config, events=["x"])
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "IMMUTABLE_FIELD"
    assert list(refusal.fields) == ["subscription.config.secret"]


async def test_a_required_field_cannot_be_cleared(shared: Served) -> None:
    before = await full(shared)
    request = update(before.name, "events", "config.url")
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert set(refusal.fields) == {"subscription.events", "subscription.config.url"}


async def test_an_update_is_checked_as_a_whole(shared: Served) -> None:
    before = await full(shared)
    names = {f"X-{number}": "" for number in range(20)}
    # Twenty headers are allowed, but there is a secret one already.
    request = update(before.name, config=Config(headers=names))
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert list(refusal.fields) == ["subscription.config.headers"]
    request = update(before.name, "retry_policy.max_backoff")
    request.subscription.retry_policy.max_backoff.FromMilliseconds(500)
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert list(refusal.fields) == ["subscription.retry_policy.max_backoff"]


async def test_an_old_etag_is_refused(shared: Served) -> None:
    before = await full(shared)
    request = update(before.name, display_name="one", etag=before.etag)
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    refusal = await refused(shared.subscriptions.UpdateSubscription(request))
    assert refusal.code is grpc.StatusCode.ABORTED
    assert refusal.reason == "ETAG_MISMATCH"
    assert refusal.metadata == {"current_etag": after.etag}
    # The read-modify-write of a whole subscription works as it is.
    after.display_name = "two"
    whole = service_pb.UpdateSubscriptionRequest(subscription=after)
    assert (await shared.subscriptions.UpdateSubscription(whole)).subscription.display_name == "two"


async def test_validation_changes_nothing(shared: Served) -> None:
    before = await full(shared)
    request = update(before.name, display_name="new")
    request.validate_only = True
    answer = await shared.subscriptions.UpdateSubscription(request)
    assert answer.subscription.display_name == "new"
    assert await read(shared, before.name) == before


async def test_a_url_that_became_forbidden_does_not_stop_other_changes(shared: Served) -> None:
    """A server whose profile changed must still let people rename and pause what is there."""
    before = await full(shared)
    subscriptions = shared.stores.subscriptions
    tenant, subscription = before.name.split("/")[1::2]

    def forbid(current: Subscription) -> Subscription:
        return replace(current, config=replace(current.config, url="ftp://old.example"))

    await subscriptions.update(TenantId(tenant), SubscriptionId(subscription), forbid)
    request = update(before.name, display_name="x")
    after = (await shared.subscriptions.UpdateSubscription(request)).subscription
    assert after.config.url == "ftp://old.example"
