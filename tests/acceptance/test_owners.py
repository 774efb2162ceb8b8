"""Servers that share a database, and whatever arrives at one that does not own it (EB5, EB6)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.harness.attached import attached, attempts, succeeded, workers
from tests.harness.cluster import Cluster
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish, subscribe
from tests.harness.served import PARENT, Served, open_served, refused
from tests.harness.waiting import until, until_async
from webhooks.v1 import (
    delivery_pb2,
    delivery_service_pb2,
    relay_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.engine import tenure
from webhooks_server.engine.announcing import Announcing

pytestmark = pytest.mark.long

State = delivery_pb2.Delivery
Outcome = delivery_pb2.DeliveryAttempt


@pytest.fixture
def cluster(database: PostgresDatabase) -> Cluster:
    return Cluster(database)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an engine take what is free without waiting for others that start."""
    monkeypatch.setattr(tenure, "FIRST_TAKE", 0.0)


@dataclass
class Pair:
    """Two servers: one has all partitions, and one has none."""

    owner: Served
    other: Served


@contextlib.asynccontextmanager
async def open_pair(
    cluster: Cluster, tmp_path: Path, *, owner_sends: bool = True
) -> AsyncIterator[Pair]:
    config = cluster.database.config()
    async with open_served(tmp_path, database=config, sends=owner_sends, engine="owner") as owner:
        if owner_sends:
            await cluster.shared(256)
        async with open_served(tmp_path, database=config, sends=False, engine="other") as other:
            yield Pair(owner, other)
            assert (await owner.stores.control.audit(None)).violations == ()
        assert owner.telemetry.faults == other.telemetry.faults == []


async def leased(served: Served) -> relay_service_pb2.LeasedDelivery:
    """Lease one delivery without a stream."""
    request = relay_service_pb2.LeaseDeliveriesRequest(relay="far-away", max_deliveries=1)
    request.wait_duration.FromSeconds(8)
    request.lease_duration.FromMilliseconds(100)
    answer = await served.relays.LeaseDeliveries(request)
    (delivery,) = answer.deliveries
    return delivery


async def published_and_leased(
    cluster: Cluster, pair: Pair, config: subscription_pb2.SubscriptionConfig
) -> relay_service_pb2.LeasedDelivery:
    """Publish one event at the owner of everything, and lease its delivery there."""
    await subscribe(pair.owner, config=config)
    waiting = asyncio.ensure_future(leased(pair.owner))
    await cluster.shared(256)
    await pair.owner.publisher.Publish(publish())
    return await waiting


def short_lease(monkeypatch: pytest.MonkeyPatch) -> subscription_pb2.SubscriptionConfig:
    """Let leases of a subscription with this configuration end after little more than a second."""
    monkeypatch.setattr("webhooks_server.engine.attached.AFTER_TIMEOUT_SECONDS", 0.1)
    config = subscription_pb2.SubscriptionConfig()
    config.timeout.FromSeconds(1)
    return config


async def report(
    served: Served, delivery: relay_service_pb2.LeasedDelivery
) -> relay_service_pb2.ReportDeliveriesResponse.Result:
    request = relay_service_pb2.ReportDeliveriesRequest(
        relay="far-away", reports=[succeeded(delivery)]
    )
    (result,) = (await served.relays.ReportDeliveries(request)).results
    return result


async def test_a_report_at_another_server_settles_the_delivery(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        await subscribe(pair.owner)
        waiting = asyncio.ensure_future(leased(pair.owner))
        await cluster.shared(256)
        await pair.owner.publisher.Publish(publish())
        delivery = await waiting
        assert pair.owner.engine.relays.held == 1

        result = await report(pair.other, delivery)
        assert (result.state, result.HasField("error")) == (State.STATE_SUCCEEDED, False)
        # The owner's lane forgets what was in flight, long before the lease ends.
        await until(lambda: pair.owner.engine.relays.held == 0, 1.0)
        await until(lambda: pair.owner.engine.ownership.lanes.in_flight == 0, 1.0)
        counted = [
            served.telemetry.facts
            for served in (pair.owner, pair.other)
            for name, _ in served.telemetry.facts
            if name == "delivery.attempted"
        ]
        assert len(counted) == 1
        for served in (pair.other, pair.owner):
            assert (await report(served, delivery)).state == State.STATE_SUCCEEDED
        (attempt,) = await attempts(pair.other, delivery.delivery)
        assert (attempt.outcome, attempt.late) == (Outcome.OUTCOME_SUCCEEDED, False)


async def test_a_report_whose_word_is_lost_settles_the_delivery_all_the_same(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Announcing, "reported", lambda *_: None)
    config = short_lease(monkeypatch)
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        delivery = await published_and_leased(cluster, pair, config)
        assert (await report(pair.other, delivery)).state == State.STATE_SUCCEEDED
        # The end of its lease changes nothing.
        await until(lambda: pair.owner.engine.ownership.lanes.in_flight == 0)
        (attempt,) = await attempts(pair.other, delivery.delivery)
        assert attempt.outcome == Outcome.OUTCOME_SUCCEEDED


async def test_a_report_after_the_end_of_its_lease_is_late(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short_lease(monkeypatch)
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        delivery = await published_and_leased(cluster, pair, config)

        async def abandoned() -> bool:
            return len(await attempts(pair.other, delivery.delivery)) == 1

        await until_async(abandoned)
        assert (await report(pair.other, delivery)).state == State.STATE_PENDING
        first, second = await attempts(pair.other, delivery.delivery)
        assert (first.outcome, first.late) == (Outcome.OUTCOME_ABANDONED, False)
        assert (second.outcome, second.late) == (Outcome.OUTCOME_SUCCEEDED, True)


async def test_a_ping_is_made_by_the_owner_and_answered_by_the_server_asked(
    cluster: Cluster, tmp_path: Path, receiver: Receiver
) -> None:
    async with open_pair(cluster, tmp_path) as pair:
        made = await subscribe(pair.other, receiver.url)
        pause = subscription_service_pb2.PauseSubscriptionRequest(name=made.name)
        await pair.other.subscriptions.PauseSubscription(pause)
        ask = subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        begun = time.monotonic()
        answer = await pair.other.subscriptions.PingSubscription(ask)
        assert time.monotonic() - begun < 2
        attempt = answer.attempt
        assert (attempt.outcome, attempt.late) == (Outcome.OUTCOME_SUCCEEDED, False)
        assert attempt.response_status_code == 200
        (parent, _, number) = attempt.name.rpartition("/attempts/")
        assert number == "1"
        shown = await pair.other.deliveries.GetDelivery(
            delivery_service_pb2.GetDeliveryRequest(name=parent)
        )
        assert shown.delivery.state == State.STATE_SUCCEEDED
        assert len([one for one in receiver.requests if b'"subscription"' in one.body]) == 1


async def test_a_ping_without_a_live_engine_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        made = await subscribe(pair.other, "https://receiver.example/hook")
        ask = subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        refusal = await refused(pair.other.subscriptions.PingSubscription(ask))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NO_ENGINE",
        )
        assert await workers(pair.other) == []


async def test_tests_and_manual_retries_wake_the_owner(
    cluster: Cluster, tmp_path: Path, receiver: Receiver
) -> None:
    async with open_pair(cluster, tmp_path) as pair:
        made = await subscribe(pair.other, receiver.url)
        receiver.status = 500
        ask = subscription_service_pb2.TestSubscriptionRequest(name=made.name, event_type="a")
        tested = await pair.other.subscriptions.TestSubscription(ask)
        name = tested.delivery.name

        async def made_attempts(count: int) -> None:
            async def as_many() -> bool:
                return len(await attempts(pair.other, name)) == count

            await until_async(as_many, 2.0)

        await made_attempts(1)
        receiver.status = 200
        retry = delivery_service_pb2.RetryDeliveryRequest(name=name)
        await pair.other.deliveries.RetryDelivery(retry)
        await made_attempts(2)
        shown = await pair.other.deliveries.GetDelivery(
            delivery_service_pb2.GetDeliveryRequest(name=name)
        )
        assert shown.delivery.state == State.STATE_SUCCEEDED


async def test_a_cancellation_reaches_what_the_owner_has_in_memory(
    cluster: Cluster, tmp_path: Path, receiver: Receiver
) -> None:
    """EB6: the owner has read the row by then, and would send it without asking again."""
    async with open_pair(cluster, tmp_path) as pair:
        receiver.gate = asyncio.Event()
        config = subscription_pb2.SubscriptionConfig(max_in_flight=1)
        made = await subscribe(pair.owner, receiver.url, config=config)
        await pair.owner.publisher.Publish(publish(event_id="first"))
        await receiver.got(1)
        for event_id in ("second", "third"):
            await pair.owner.publisher.Publish(publish(event_id=event_id))
        ask = delivery_service_pb2.ListDeliveriesRequest(
            parent=made.name, filter=f'event = "{PARENT}/events/second"'
        )
        (second,) = (await pair.other.deliveries.ListDeliveries(ask)).deliveries
        cancel = delivery_service_pb2.CancelDeliveryRequest(name=second.name)
        cancelled = (await pair.other.deliveries.CancelDelivery(cancel)).delivery
        assert cancelled.state == State.STATE_CANCELLED
        # Longer than an announcement takes, and shorter than the back-stop.
        await asyncio.sleep(0.5)
        receiver.gate.set()
        await receiver.got(2)
        assert receiver.ids == ["first", "third"]
        assert await attempts(pair.other, second.name) == []


async def test_a_new_subscription_is_pinged_and_tested_at_once(
    cluster: Cluster, tmp_path: Path, receiver: Receiver
) -> None:
    """Also where the server has yet to hear of it: its index follows with the next beat."""
    async with open_pair(cluster, tmp_path) as pair:
        for number in range(5):
            request = create(f"{receiver.url}/{number}")
            request.skip_ping = False
            made = (await pair.other.subscriptions.CreateSubscription(request)).subscription
            for served in (pair.other, pair.owner):
                ask = subscription_service_pb2.TestSubscriptionRequest(
                    name=made.name, event_type="a"
                )
                await served.subscriptions.TestSubscription(ask)
        await receiver.got(15)


async def test_partitions_are_with_engines_that_have_slots(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenure, "WITHOUT_SLOTS", 0.3)
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        async with attached(pair.owner, slots=3):
            await cluster.shared(256)
            assert cluster.owned() == {"owner": 256}
        # With nobody to send, there is nothing to own.
        await until(lambda: cluster.owned() == {})
        async with attached(pair.other, slots=1):
            await until(lambda: cluster.owned() == {"other": 256})


async def test_caps_of_hosts_are_shared_by_the_engines_that_send(
    cluster: Cluster, tmp_path: Path
) -> None:
    """EC10."""
    async with open_pair(cluster, tmp_path) as pair:
        lanes = pair.owner.engine.ownership.lanes
        assert lanes.gates.engines == 1
        async with attached(pair.other, slots=1):
            await until(lambda: lanes.gates.engines == 2)
        await until(lambda: lanes.gates.engines == 1)


async def test_a_lane_is_taken_over_as_it_fails_now(cluster: Cluster, tmp_path: Path) -> None:
    """EC7: not as it failed when the index was read."""
    async with open_pair(cluster, tmp_path, owner_sends=False) as pair:
        await subscribe(pair.other)
        await pair.other.publisher.Publish(publish())
        # The index of who takes over has it by now, with nothing on record.
        async with attached(pair.owner, slots=8) as relay:
            await relay.deliveries(1)
        await until(lambda: cluster.owned() == {}, 8.0)
        numbers = cluster.database.administrator.rows("SELECT number FROM subscriptions")
        ((number,),) = numbers
        failing = LaneFailing(subscription=SubscriptionNumber(number), level=1)
        await pair.other.stores.subscriptions.note_failing([failing])
        lanes = pair.other.engine.ownership.lanes
        async with attached(pair.other, slots=8):
            await until(lambda: [lane.health.failing for lane in lanes] == [True])
