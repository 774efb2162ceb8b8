"""RelayService, by a relay that the test plays: attach, send, report, release, extend, vanish."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.harness.attached import Ask, attached, attempts, eventually, prove, succeeded, workers
from tests.harness.requests import publish, subscribe
from tests.harness.served import Served, open_served, refusal_of, refused
from tests.harness.waiting import until, until_async
from webhooks.v1 import (
    admin_service_pb2,
    delivery_pb2,
    delivery_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.delivery import NewDelivery
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


async def test_a_delivery_goes_out_signed_and_its_report_is_recorded(served: Served) -> None:
    made = await subscribe(served, "https://receiver.example/hook?token=1")
    async with attached(served) as relay:
        await served.publisher.Publish(publish(data_json='{"amount": 12}'))
        (leased,) = await relay.deliveries(1)
        assert leased.request.url == "https://receiver.example/hook?token=1"
        assert (leased.request.method, leased.request.body) == ("POST", b'{"amount": 12}')
        assert leased.attempt_number == 1
        assert leased.delivery.startswith(made.name + "/deliveries/dlv_")
        names = [header.key.lower() for header in leased.request.headers]
        assert "webhook-signature" in names
        assert await workers(served) == [("far-away", 1)]

        report = succeeded(leased, response_body=b"fine", remote_ip_address="192.0.2.1")
        (result,) = await relay.report(report)
        assert (result.state, result.HasField("error")) == (State.STATE_SUCCEEDED, False)
        (attempt,) = await attempts(served, leased.delivery)
        assert (attempt.outcome, attempt.relay) == (Outcome.OUTCOME_SUCCEEDED, "far-away")
        assert (attempt.response_body, attempt.url) == ("fine", leased.request.url)
        assert not attempt.late
        await eventually(served, [("far-away", 0)])


async def test_secrets_stay_with_the_server(served: Served) -> None:
    config = subscription_pb2.SubscriptionConfig(secret="whsec_" + "c2VjcmV0" * 4)
    await subscribe(served, config=config)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        said = leased.SerializeToString()
        assert b"whsec_" not in said
        assert b"c2VjcmV0" not in said
        assert b"secret" * 4 not in said
        await relay.report(succeeded(leased))


async def test_no_more_is_handed_out_than_there_are_slots(served: Served) -> None:
    await subscribe(served)
    async with attached(served, slots=2) as relay:
        await prove(served, relay)
        for _ in range(3):
            await served.publisher.Publish(publish())
        first, second = await relay.deliveries(2)
        await served.relays.ReportDeliveries(
            pb.ReportDeliveriesRequest(relay="another", reports=[succeeded(first)])
        )
        (third,) = await relay.deliveries(1)
        results = await relay.report(succeeded(second), succeeded(third))
        assert [result.state for result in results] == [State.STATE_SUCCEEDED] * 2


async def test_a_report_that_is_repeated_changes_nothing(served: Served) -> None:
    await subscribe(served)
    async with attached(served) as relay, attached(served, relay="other") as other:
        await served.publisher.Publish(publish())
        reading = {asyncio.create_task(one.deliveries(1)): one for one in (relay, other)}
        done, waiting = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        (leased,) = done.pop().result()
        request = pb.ReportDeliveriesRequest(relay="third", reports=[succeeded(leased)] * 3)
        answers = [await served.relays.ReportDeliveries(request) for _ in range(2)]
        for answer in answers:
            assert [one.state for one in answer.results] == [State.STATE_SUCCEEDED] * 3
        assert len(await attempts(served, leased.delivery)) == 1


async def test_the_third_in_a_row_that_nobody_reports_is_charged_whoever_sent_it(
    served: Served,
) -> None:
    await subscribe(served)
    await served.publisher.Publish(publish())
    counts = []
    for _ in range(3):
        async with attached(served) as relay:
            (lost,) = await relay.deliveries(1)
        await until(lambda: served.engine.relays.attached == 0)
        # What is reported too late makes no attempt more of what decides.
        request = pb.ReportDeliveriesRequest(relay="far-away", reports=[succeeded(lost)])
        await served.relays.ReportDeliveries(request)
        row = await pending_row(served)
        counts.append((row.attempt_count, row.charged_count, row.uncharged.abandoned))
    assert counts == [(2, 0, 1), (4, 0, 2), (6, 1, 0)]


async def pending_row(served: Served) -> NewDelivery:
    """The only delivery there is, as the store has it."""
    (head,) = await served.stores.lanes.find(range(256))
    read = LaneRead(subscription=head.subscription, partition=head.partition, limit=1)
    ((row,),) = [one.rows for one in await served.stores.lanes.due([read])]
    return row


async def test_a_relay_that_vanishes_abandons_what_it_has(served: Served) -> None:
    await subscribe(served)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (lost,) = await relay.deliveries(1)
    async with attached(served, relay="next") as relay:
        (leased,) = await relay.deliveries(1)
        assert (leased.delivery, leased.attempt_number) == (lost.delivery, 2)
        # The one that vanished tells what came of it, twice: on record, but it changes nothing.
        request = pb.ReportDeliveriesRequest(relay="far-away", reports=[succeeded(lost)])
        for _ in range(2):
            (result,) = (await served.relays.ReportDeliveries(request)).results
            assert result.state == State.STATE_PENDING
        (result,) = await relay.report(succeeded(leased))
        assert result.state == State.STATE_SUCCEEDED
    told = [(one.outcome, one.late, one.relay) for one in await attempts(served, lost.delivery)]
    assert told == [
        (Outcome.OUTCOME_ABANDONED, False, "far-away"),
        (Outcome.OUTCOME_SUCCEEDED, True, "far-away"),
        (Outcome.OUTCOME_SUCCEEDED, False, "next"),
    ]


async def test_the_third_abandonment_in_a_row_is_charged(served: Served) -> None:
    await subscribe(served)
    await served.publisher.Publish(publish())
    name = ""
    for number in range(1, 4):
        async with attached(served) as relay:
            (leased,) = await relay.deliveries(1)
            name = leased.delivery
            assert leased.attempt_number == number
    request = delivery_service_pb2.GetDeliveryRequest(name=name)

    async def three() -> bool:
        found = (await served.deliveries.GetDelivery(request)).delivery
        return found.attempt_count == 3

    await until_async(three)
    found = (await served.deliveries.GetDelivery(request)).delivery
    waits = (
        found.next_attempt_time.ToMilliseconds() - found.last_attempt.start_time.ToMilliseconds()
    )
    # 5 s with jitter: the schedule of a failed attempt. The two before were due at once.
    assert 3_900 < waits < 6_500


async def test_what_is_released_goes_to_another_and_counts_as_no_attempt(served: Served) -> None:
    await subscribe(served)
    async with attached(served, slots=1) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        await relay.open(0)
        await relay.stream.write(Ask(release=Ask.Leases(lease_tokens=[leased.lease_token])))
        async with attached(served, relay="next") as other:
            (again,) = await other.deliveries(1)
            assert (again.delivery, again.attempt_number) == (leased.delivery, 1)
            await other.report(succeeded(again))


async def test_a_lease_runs_out_unless_it_is_extended(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks_server.engine.relays.LEASE_SECONDS", 0.6)
    monkeypatch.setattr("webhooks_server.engine.attached.AFTER_TIMEOUT_SECONDS", -60.0)
    await subscribe(served)
    async with attached(served, slots=1) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        tokens = [leased.lease_token]
        for _ in range(6):
            await asyncio.sleep(0.2)
            request = pb.ExtendLeasesRequest(relay="far-away", lease_tokens=tokens)
            request.lease_duration.FromMilliseconds(600)
            answer = await served.relays.ExtendLeases(request)
            assert answer.lost_lease_tokens == []
        (again,) = await relay.deliveries(1)
        assert again.attempt_number == 2
        await relay.stream.write(Ask(extend=Ask.Leases(lease_tokens=tokens)))
        extended = (await relay.read("extended")).extended
        assert extended.lost_lease_tokens == tokens
        await relay.report(succeeded(again))


async def test_with_nobody_attached_deliveries_wait_and_the_status_says_so(served: Served) -> None:
    made = await subscribe(served)
    await served.publisher.Publish(publish())
    status = await served.admin.GetRelayStatus(admin_service_pb2.GetRelayStatusRequest())
    assert (list(status.workers), status.stats.pending_count) == ([], 1)
    for call in (
        served.admin.NotifySubscribers(admin_service_pb2.NotifySubscribersRequest()),
        served.subscriptions.PingSubscription(
            subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NO_ENGINE",
        )
    # The ping that was refused is nobody's event.
    assert (await served.stores.control.audit(None)).events == 1
    async with attached(served) as relay:
        (leased,) = await relay.deliveries(1)
        await relay.report(succeeded(leased))


async def test_a_ping_goes_through_a_relay_also_where_it_is_full(served: Served) -> None:
    made = await subscribe(served)
    async with attached(served, slots=1) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        request = subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        ping = asyncio.ensure_future(served.subscriptions.PingSubscription(request))
        (pinged,) = await relay.deliveries(1)
        await relay.report(succeeded(pinged), succeeded(leased))
        assert (await ping).attempt.relay == "far-away"


async def test_at_the_stop_a_relay_may_report_and_is_sent_away(served: Served) -> None:
    await subscribe(served)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        served.engine.stop_taking(5.0)
        served.engine.relays.close()
        stopping = asyncio.create_task(served.server.drain(5.0))
        await asyncio.sleep(0.1)
        (result,) = await relay.report(succeeded(leased))
        assert result.state == State.STATE_SUCCEEDED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(relay.stream.read(), 5)
        assert refusal_of(caught.value).reason == "SHUTTING_DOWN"
        assert await stopping
