"""The wall: what is behind it never shows, and nobody waits behind it for ever."""

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness.contract import methods, path_of, valid_request
from tests.harness.failing import Failing
from tests.harness.requests import create, publish
from tests.harness.served import PARENT, Served, open_served, refusal_of, refused
from tests.harness.waiting import until, until_async
from webhooks.v1 import admin_service_pb2, event_pb2, publisher_service_pb2, subscription_pb2
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.errors import (
    DatabaseDamaged,
    NotFound,
)
from webhooks_server.rpc import wall

CANARY = "canary-7f3a"


Code = grpc.StatusCode


# The engine's stores are those that work.
ASKS_ENGINE = ("NotifySubscribers", "LeaseDeliveries", "ReportDeliveries")
ASKS_NO_STORE = ("GetServerInfo", "ExtendLeases", "ReleaseLeases", *ASKS_ENGINE)


@pytest.mark.parametrize(
    "method",
    [method for method in methods() if method.name not in ASKS_NO_STORE],
    ids=lambda method: method.name,
)
@pytest.mark.parametrize(
    "error", [RuntimeError(CANARY), DatabaseDamaged(CANARY), KeyError(CANARY), TimeoutError(CANARY)]
)
async def test_no_exception_shows_and_none_is_lost(
    broken: Served, failing: Failing, method: MethodDescriptor, error: Exception
) -> None:
    failing.error = error
    broken.telemetry.faults.clear()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await broken.raw(path_of(method), valid_request(method).SerializeToString())
    refusal = refusal_of(failed.value)
    assert refusal.code is Code.INTERNAL
    assert refusal.reason == "INTERNAL"
    assert refusal.metadata == {"request_id": refusal.request_id}
    assert CANARY not in repr(failed.value) + repr(refusal)
    assert CANARY not in str(failed.value.trailing_metadata())
    assert broken.telemetry.faults == [("rpc.failed", error)]


async def test_a_cancellation_behind_the_wall_does_not_leave_the_caller_waiting(
    broken: Served, failing: Failing
) -> None:
    failing.error = asyncio.CancelledError(CANARY)
    refusal = await refused(broken.publisher.Publish(publish(), timeout=5))
    assert refusal.code is Code.UNAVAILABLE
    assert refusal.reason == "SHUTTING_DOWN"
    assert CANARY not in repr(refusal)


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=[0, 1, 2])
async def test_malformed_bytes_are_an_invalid_argument(
    shared: Served, method: MethodDescriptor, data: bytes
) -> None:
    """A broken tag, a text that is cut off, and one that is not UTF-8."""
    has_text_first = any(
        field.number == 1 and field.type == field.TYPE_STRING for field in method.input_type.fields
    )
    if data.endswith(b"\xfe") and not has_text_first:
        # What is in an unknown field, or in a message, is not looked at as text.
        data = b"\x0a\xff\xff\xff\xff\x0f"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await shared.raw(path_of(method), data)
    refusal = refusal_of(failed.value)
    assert refusal.code is Code.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"
    assert "BadRequest" in refusal.details


async def test_an_unknown_method_is_unimplemented(shared: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await shared.raw("/webhooks.v1.PublisherService/Nothing", b"")
    assert failed.value.code() is Code.UNIMPLEMENTED


@pytest.mark.parametrize("given", ["abc", "a" * 128, "A-Z.0_9:/+=@"])
async def test_a_request_id_is_echoed(shared: Served, given: str) -> None:
    metadata = (("x-request-id", given),)
    call = shared.publisher.Publish(publish(), metadata=metadata)
    await call
    assert (await call.trailing_metadata())["x-request-id"] == given
    bad = shared.publisher.Publish(publish(event_type=""), metadata=metadata)
    assert (await refused(bad)).request_id == given


@pytest.mark.parametrize("given", [None, "a" * 129, "a b", '"', "<script>"])
async def test_an_error_has_a_request_id_where_none_can_be_echoed(
    shared: Served, given: str | None
) -> None:
    metadata = (("x-request-id", given),) if given is not None else ()
    call = shared.publisher.Publish(publish(), metadata=metadata)
    await call
    assert "x-request-id" not in dict(await call.trailing_metadata())
    bad = publish(event_type="")
    made = [
        (await refused(shared.publisher.Publish(bad, metadata=metadata))).request_id
        for _ in range(2)
    ]
    assert given not in made
    assert made[0] != made[1]
    assert all(8 <= len(one) <= 40 for one in made)


async def test_an_error_stays_whole_whatever_a_caller_sends(shared: Served) -> None:
    """Beyond 8 KiB of metadata the code itself would be lost."""
    long = "🙂" * 1025
    events = [
        event_pb2.EventInput(
            event_type="🙂" * 128, source=long, subject=long, attributes={"a": long}
        )
    ] * 500
    batch = publisher_service_pb2.BatchPublishRequest(parent=PARENT, events=events)
    refusal = await refused(shared.publisher.BatchPublish(batch))
    assert refusal.code is Code.INVALID_ARGUMENT
    assert 10 <= len(refusal.fields) <= 20
    assert "events[0].event_type" in refusal.fields
    mask = FieldMask(paths=["🙂" * 1000 + str(number) for number in range(100)])
    update = service_pb.UpdateSubscriptionRequest(
        subscription=subscription_pb2.Subscription(name=f"{PARENT}/subscriptions/s"),
        update_mask=mask,
    )
    refusal = await refused(shared.subscriptions.UpdateSubscription(update))
    assert refusal.reason == "INVALID_UPDATE_MASK"
    patterns = create(events=("🙂" * 500,))
    refusal = await refused(shared.subscriptions.CreateSubscription(patterns))
    assert list(refusal.fields) == ["subscription.events"]
    listed = service_pb.ListSubscriptionsRequest(parent=PARENT, filter="a" * 2000 + " = 1")
    refusal = await refused(shared.subscriptions.ListSubscriptions(listed))
    assert refusal.reason == "INVALID_FILTER"


async def test_a_required_message_must_be_there(shared: Served) -> None:
    empty = publisher_service_pb2.PublishRequest(parent=PARENT)
    assert list((await refused(shared.publisher.Publish(empty))).fields) == ["event"]
    create_ = service_pb.CreateSubscriptionRequest(parent=PARENT)
    refusal = await refused(shared.subscriptions.CreateSubscription(create_))
    assert list(refusal.fields) == ["subscription"]
    update = service_pb.UpdateSubscriptionRequest()
    refusal = await refused(shared.subscriptions.UpdateSubscription(update))
    assert list(refusal.fields) == ["subscription"]


async def test_beyond_its_capacity_the_server_refuses_and_recovers(tmp_path: Path) -> None:
    failing = Failing()
    failing.error = NotFound("webhooks.v1.Thing", "a")
    async with open_served(tmp_path, front=failing.front, max_concurrent_calls=2) as served:
        failing.gate = asyncio.Event()
        running = [asyncio.ensure_future(refused(served.publisher.Publish(publish())))]
        running += [asyncio.ensure_future(refused(served.publisher.Publish(publish())))]
        await until(lambda: failing.entered == 2)
        refusal = await refused(served.publisher.Publish(publish()))
        assert refusal.code is Code.UNAVAILABLE
        assert refusal.reason == "SERVER_OVERLOADED"
        assert "RetryInfo" in refusal.details
        assert refusal.request_id
        failing.gate.set()
        for one in await asyncio.gather(*running):
            assert one.code is Code.NOT_FOUND
        assert (await refused(served.publisher.Publish(publish()))).code is Code.NOT_FOUND


async def test_a_call_ends_at_the_server_s_own_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "CALL_SECONDS", 0.1)
    failing = Failing()
    failing.gate = asyncio.Event()
    async with open_served(tmp_path, front=failing.front) as served:
        for timeout in (None, 60):
            call = served.publisher.Publish(publish(), timeout=timeout)
            refusal = await refused(call)
            assert refusal.code is Code.DEADLINE_EXCEEDED
            assert refusal.request_id
        assert served.telemetry.faults == []
        # Others may take longer: an audit counts every row.
        audit = served.admin.Audit(admin_service_pb2.AuditRequest(), timeout=0.5)
        refusal = await refused(audit)
        assert refusal.code is Code.DEADLINE_EXCEEDED
        assert refusal.request_id == ""


async def test_a_caller_that_goes_away_frees_its_place(tmp_path: Path) -> None:
    failing = Failing()
    failing.gate = asyncio.Event()
    failing.error = NotFound("webhooks.v1.Thing", "a")
    async with open_served(tmp_path, front=failing.front, max_concurrent_calls=1) as served:
        call = served.publisher.Publish(publish())
        await until(lambda: failing.entered == 1)
        call.cancel()
        failing.gate.set()

        async def free() -> bool:
            refusal = await refused(served.publisher.Publish(publish()))
            return refusal.code is Code.NOT_FOUND

        await until_async(free)
        assert served.telemetry.faults == []
