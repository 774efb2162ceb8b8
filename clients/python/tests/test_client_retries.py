"""When calls are tried again, on both clients."""

import time

import grpc
import pytest

from tests.clients import Client, Connect
from tests.fault_server import Fault, FaultServer, info, retry_after, run_fault_server
from webhooks.v1 import event_pb2, publisher_service_pb2
from webhooks_client import (
    Aborted,
    DeadlineExceeded,
    Event,
    InvalidArgument,
    RetryPolicy,
    Unavailable,
    WebhooksError,
)
from webhooks_client.errors import ErrorDetails

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


async def test_unavailable_twice_is_no_failure(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.script = [UNAVAILABLE, UNAVAILABLE]
    published = await faulty.publish("a.b", {})
    ids = [call.ids for call in fault_server.calls]
    assert ids == [[published.event_id]] * 3
    assert not published.duplicate


async def test_gives_up_after_four_tries(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.script = [UNAVAILABLE] * 10
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await faulty.publish("a.b", {})
    assert len(fault_server.calls) == 4
    # 0.1 + 0.4 + 1.6, each times 0.8 to 1.2
    assert 1.6 <= time.monotonic() - started < 5


async def test_a_lost_answer_does_not_publish_twice(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.UNAVAILABLE, after_storing=True)]
    published = await faulty.publish("a.b", {})
    assert published.duplicate
    assert fault_server.stored == {published.event_id}


async def test_a_call_that_a_stopping_server_cut_off_is_repeated(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.CANCELLED, after_storing=True)]
    published = await faulty.publish("a.b", {})
    assert published.duplicate
    assert fault_server.stored == {published.event_id}


async def test_cancelled_each_time_is_a_failure_in_the_end(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.CANCELLED)] * 10
    with pytest.raises(WebhooksError) as caught:
        await faulty.publish("a.b", {})
    assert caught.value.code is grpc.StatusCode.CANCELLED
    assert len(fault_server.calls) == 4


async def test_a_batch_is_tried_again_with_the_same_ids(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [UNAVAILABLE]
    batch = [Event(event_type="a", data=number) for number in range(3)]
    results = await faulty.publish_batch(batch)
    ids = [event.event_id for event in batch]
    assert [call.ids for call in fault_server.calls] == [ids, ids]
    assert [result.event_id for result in results] == ids


async def test_waits_as_long_as_the_server_asks(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.UNAVAILABLE, details=[retry_after(500)])]
    await faulty.publish("a.b", {})
    first, second = fault_server.calls
    assert second.at - first.at >= 0.5


async def test_never_waits_past_the_deadline(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.UNAVAILABLE, details=[retry_after(3000)])]
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await faulty.publish("a.b", {}, timeout=2.0)
    assert time.monotonic() - started < 1.5
    assert len(fault_server.calls) == 1
    assert caught.value.retry_delay == 3.0


async def test_all_tries_share_one_deadline(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.script = [UNAVAILABLE, UNAVAILABLE]
    await faulty.publish("a.b", {}, timeout=5.0)
    left = [call.time_remaining for call in fault_server.calls]
    assert left[0] == pytest.approx(5, abs=0.2)
    assert left[0] - left[2] >= 0.1 * 0.8 + 0.4 * 0.8


async def test_a_call_without_a_timeout_has_ten_seconds(
    faulty: Client, fault_server: FaultServer
) -> None:
    await faulty.publish("a.b", {})
    await faulty.server_version()
    left = [call.time_remaining for call in fault_server.calls]
    assert left == [pytest.approx(10, abs=0.5)] * 2


async def test_no_answer_in_time_is_not_tried_again(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED)]
    with pytest.raises(DeadlineExceeded):
        await faulty.publish("a.b", {}, timeout=2.0)
    assert len(fault_server.calls) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.ABORTED, "STORE_CONFLICT"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    ],
)
async def test_what_passes_is_tried_again(
    faulty: Client, fault_server: FaultServer, code: grpc.StatusCode, reason: str
) -> None:
    fault_server.script = [Fault(code=code, details=[info(reason), retry_after(150)])]
    await faulty.publish("a.b", {})
    first, second = fault_server.calls
    assert second.at - first.at >= 0.15


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (grpc.StatusCode.ABORTED, "ETAG_MISMATCH", Aborted),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", InvalidArgument),
        (grpc.StatusCode.INTERNAL, "INTERNAL", WebhooksError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", WebhooksError),
    ],
)
async def test_what_stays_is_not(
    faulty: Client,
    fault_server: FaultServer,
    code: grpc.StatusCode,
    reason: str,
    error: type[WebhooksError],
) -> None:
    fault_server.script = [Fault(code=code, details=[info(reason)])]
    with pytest.raises(error) as caught:
        await faulty.publish("a.b", {})
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert len(fault_server.calls) == 1


async def test_a_call_of_a_stub_that_writes_is_made_once(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [UNAVAILABLE]
    request = publisher_service_pb2.PublishRequest(event=event_pb2.EventInput(event_type="a"))
    with pytest.raises(Unavailable):
        await faulty.publish_once(request)
    assert len(fault_server.calls) == 1


async def test_a_call_of_a_stub_that_reads_is_tried_again(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [UNAVAILABLE, UNAVAILABLE]
    assert await faulty.server_version() == "1"
    assert len(fault_server.calls) == 3


async def test_a_server_that_comes_back_in_time_is_found(connect: Connect) -> None:
    with run_fault_server() as first:
        address = first.address
        async with connect(address) as client:
            await client.publish("a.b", {})
    async with connect(address) as client:
        with pytest.raises(Unavailable):
            await client.publish("a.b", {}, timeout=0.05)
        with run_fault_server(address) as second:
            published = await client.publish("a.b", {})
            assert second.stored == {published.event_id}


def failed(code: grpc.StatusCode, retry_delay: float | None = None) -> WebhooksError:
    return WebhooksError("told to", ErrorDetails(code=code, retry_delay=retry_delay))


def test_the_pauses_of_a_policy() -> None:
    policy = RetryPolicy()
    error = failed(grpc.StatusCode.UNAVAILABLE)
    pauses = [policy.pause(attempt, error, 1.0) for attempt in range(1, 5)]
    assert pauses == [0.1, 0.4, 1.6, None]
    assert RetryPolicy(attempts=9).pause(8, error, 1.0) == 2.0
    assert RetryPolicy(attempts=1).pause(1, error, 1.0) is None


def test_the_server_can_lengthen_a_pause_but_not_shorten_it() -> None:
    policy = RetryPolicy()
    assert policy.pause(1, failed(grpc.StatusCode.UNAVAILABLE, 3.5), 1.0) == 3.5
    assert policy.pause(1, failed(grpc.StatusCode.UNAVAILABLE, 0.0), 1.2) == pytest.approx(0.12)
