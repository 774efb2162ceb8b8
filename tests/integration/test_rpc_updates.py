"""UpdateSubscription: masks, etags, creation where there is none."""

import uuid
from dataclasses import replace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness.requests import URL, read
from tests.harness.served import PARENT, Served, refused
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.subscription import Subscription

Config = pb.SubscriptionConfig


async def full(served: Served) -> pb.Subscription:
    """A subscription with every field away from its default."""
    wanted = pb.Subscription(
        display_name="old",
        events=["old"],
        active=False,
        annotations={"old": "1"},
        retry_policy=pb.RetryPolicy(
            max_attempts=3,
            initial_backoff=Duration(seconds=1),
            max_backoff=Duration(seconds=2),
            backoff_multiplier=3,
            max_age=Duration(seconds=4),
            client_error_policy=pb.CLIENT_ERROR_POLICY_FAIL_DELIVERY,
        ),
        config=Config(
            url=f"{URL}/{uuid.uuid4()}",
            signature_schemes=[pb.SIGNATURE_SCHEME_HUB_LEGACY],
            headers={"X-Old": "1"},
            secret_headers={"X-Secret": "old"},
            timeout=Duration(seconds=5),
            max_in_flight=5,
        ),
    )
    answer = await served.subscriptions.CreateSubscription(
        service_pb.CreateSubscriptionRequest(parent=PARENT, subscription=wanted, skip_ping=True)
    )
    return answer.subscription


def update(
    name: str, *paths: str, config: Config | None = None, **fields: object
) -> service_pb.UpdateSubscriptionRequest:
    wanted = pb.Subscription(name=name, config=config, **fields)  # type: ignore[arg-type]
    mask = FieldMask(paths=paths) if paths else None
    return service_pb.UpdateSubscriptionRequest(subscription=wanted, update_mask=mask)


def differing(before: pb.Subscription, after: pb.Subscription) -> set[str]:
    """The writable leaves in which the two differ."""
    found = set()
    for prefix, old, new in (
        ("", before, after),
        ("config.", before.config, after.config),
        ("retry_policy.", before.retry_policy, after.retry_policy),
    ):
        for field in old.DESCRIPTOR.fields:
            nested = field.name in ("config", "retry_policy")
            output = field.name in ("etag", "update_time", "state", "secret_set")
            if not nested and not output and getattr(old, field.name) != getattr(new, field.name):
                found.add(prefix + field.name)
    return found


POPULATED = {
    "active": pb.Subscription(active=True),
    "display_name": pb.Subscription(display_name="new"),
    "events": pb.Subscription(events=["new"]),
    "annotations": pb.Subscription(annotations={"new": ""}),
    "config.url": pb.Subscription(config=Config(url=f"{URL}/new")),
    "config.max_in_flight": pb.Subscription(config=Config(max_in_flight=7)),
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
