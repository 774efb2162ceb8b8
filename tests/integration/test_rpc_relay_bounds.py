"""RelayService: leases by hand, and what is refused, cut or charged of what a relay says."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.harness.attached import (
    Ask,
    Attached,
    attached,
    attempts,
    eventually,
    prove,
    succeeded,
)
from tests.harness.requests import publish, subscribe
from tests.harness.served import Served, open_served, refusal_of
from webhooks.v1 import (
    delivery_pb2,
    delivery_service_pb2,
)
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.lanes import LaneRead

State = delivery_pb2.Delivery
Outcome = delivery_pb2.DeliveryAttempt


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that sends nothing itself."""
    async with open_served(tmp_path, sends=False) as opened:
        yield opened
        report = await opened.stores.control.audit(None)
        assert report.violations == ()
        assert opened.telemetry.faults == []


async def test_deliveries_are_leased_by_hand(served: Served) -> None:
    await subscribe(served)
    async with attached(served) as relay:
        await prove(served, relay)
    for _ in range(3):
        await served.publisher.Publish(publish())
    request = pb.LeaseDeliveriesRequest(relay="by-hand", max_deliveries=2)
    request.wait_duration.FromSeconds(5)
    leased = list((await served.relays.LeaseDeliveries(request)).deliveries)
    assert len(leased) == 2
    release = pb.ReleaseLeasesRequest(relay="by-hand", lease_tokens=[leased[0].lease_token])
    await served.relays.ReleaseLeases(release)
    reports = pb.ReportDeliveriesRequest(relay="by-hand", reports=[succeeded(leased[1])])
    (result,) = (await served.relays.ReportDeliveries(reports)).results
    assert result.state == State.STATE_SUCCEEDED
    # Nobody has the one that was given back, nor the third.
    rest: list[pb.LeasedDelivery] = []
    while len(rest) < 2:
        rest += (await served.relays.LeaseDeliveries(request)).deliveries
    assert leased[0].delivery in {one.delivery for one in rest}
    assert [one.attempt_number for one in rest] == [1, 1]
    reports = pb.ReportDeliveriesRequest(relay="by-hand", reports=map(succeeded, rest))
    await served.relays.ReportDeliveries(reports)
    empty = pb.LeaseDeliveriesRequest(relay="by-hand")
    assert not (await served.relays.LeaseDeliveries(empty)).deliveries


async def test_a_lease_by_hand_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with open_served(tmp_path, sends=False) as served:
        await subscribe(served)
        await served.publisher.Publish(publish())
        request = pb.LeaseDeliveriesRequest(relay="by-hand")
        assert len((await served.relays.LeaseDeliveries(request)).deliveries) == 1
        served.engine.relays.close()
        began = time.monotonic()
    assert time.monotonic() - began < 5


FIRST = [
    (pb.AttachRelayRequest(), "open", "STREAM_PROTOCOL"),
    (Ask(reports=Ask.Reports()), "open", "STREAM_PROTOCOL"),
    (Ask(open=Ask.Open(slots=1)), "open.relay", "INVALID_FIELD"),
    (Ask(open=Ask.Open(relay="A b", slots=1)), "open.relay", "INVALID_FIELD"),
    (Ask(open=Ask.Open(relay="a", slots=-1)), "open.slots", "INVALID_FIELD"),
    (Ask(open=Ask.Open(relay="a", slots=4097)), "open.slots", "INVALID_FIELD"),
]
LATER = [
    (Ask(), "request", "STREAM_PROTOCOL"),
    (Ask(extend=Ask.Leases()), "lease_tokens", "INVALID_FIELD"),
    (Ask(release=Ask.Leases(lease_tokens=["no token"])), "lease_tokens", "INVALID_FIELD"),
    (Ask(reports=Ask.Reports()), "reports", "INVALID_FIELD"),
]


@pytest.mark.parametrize(("first", "field", "reason"), FIRST, ids=range(6))
async def test_a_stream_begins_with_who_it_is(
    served: Served, first: Ask, field: str, reason: str
) -> None:
    stream = served.relays.AttachRelay()
    await stream.write(first)
    await is_refused(Attached(stream), field, reason)


@pytest.mark.parametrize(("later", "field", "reason"), LATER, ids=range(4))
async def test_a_stream_with_a_wrong_message_ends(
    served: Served, later: Ask, field: str, reason: str
) -> None:
    async with attached(served) as relay:
        await relay.stream.write(later)
        await is_refused(relay, field, reason)
    await eventually(served, [])


async def is_refused(relay: Attached, field: str, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(relay.stream.read(), 5)
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert list(refusal.fields) == [field]


async def test_a_wrong_report_is_refused_alone(served: Served) -> None:
    await subscribe(served)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        forged = succeeded(leased)
        forged.lease_token = leased.lease_token[:-2] + "AA"
        nameless = succeeded(leased)
        nameless.outcome = Outcome.OUTCOME_UNSPECIFIED
        long = succeeded(leased, error_message="x" * 513)
        results = await relay.report(forged, nameless, long, succeeded(leased))
        assert [result.error.code for result in results] == [3, 3, 3, 0]
        assert results[3].state == State.STATE_SUCCEEDED


async def test_of_an_answer_as_much_is_kept_as_the_server_is_set_to(tmp_path: Path) -> None:
    headers = [
        pb.Header(key="X-Long", value="v" * 5000),
        pb.Header(key="X-Other", value="w" * 5000),
    ]
    for kept, shown in ((10, {"X-Long": "v" * 5000}), (0, {})):
        async with open_served(
            tmp_path / str(kept), sends=False, kept_response_bytes=kept
        ) as served:
            await subscribe(served)
            async with attached(served) as relay:
                await served.publisher.Publish(publish())
                (leased,) = await relay.deliveries(1)
                report = succeeded(leased, response_body=b"0123456789abc")
                report.response_headers.extend(headers)
                await relay.report(report)
            (attempt,) = await attempts(served, leased.delivery)
            assert attempt.response_body == "0123456789"[:kept]
            assert attempt.response_body_truncated
            assert dict(attempt.response_headers) == shown


@pytest.mark.parametrize(
    ("fields", "least", "most", "charged"),
    [
        (pb.DeliveryReport(response_status_code=503), 3.9, 6.5, 1),
        (
            pb.DeliveryReport(response_status_code=503, retry_after=Duration(seconds=60)),
            59.0,
            61.0,
            1,
        ),
        (pb.DeliveryReport(relay_failed=True, error_message="local_error: none"), 4.9, 5.5, 0),
        (pb.DeliveryReport(relay_may_have_failed=True), 4.9, 5.5, 0),
    ],
    ids=["schedule", "retry_after", "relay_failed", "no_way"],
)
async def test_a_failure_is_scheduled_as_if_the_server_had_sent_it(
    served: Served, fields: pb.DeliveryReport, least: float, most: float, charged: int
) -> None:
    await subscribe(served)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        report = succeeded(leased)
        report.ClearField("response_status_code")
        report.MergeFrom(fields)
        report.outcome = Outcome.OUTCOME_HTTP_ERROR
        began = time.time()
        (result,) = await relay.report(report)
        assert result.state == State.STATE_PENDING
    request = delivery_service_pb2.GetDeliveryRequest(name=leased.delivery)
    due = (await served.deliveries.GetDelivery(request)).delivery.next_attempt_time
    assert least <= due.ToMilliseconds() / 1000 - began <= most
    uid = bytes.fromhex(leased.delivery.rpartition("dlv_")[2])
    (head,) = await served.stores.lanes.find(range(256))
    (read,) = await served.stores.lanes.due(
        [LaneRead(subscription=head.subscription, partition=head.partition, limit=1)]
    )
    assert [(row.uid, row.charged_count) for row in read.rows] == [(uid, charged)]
