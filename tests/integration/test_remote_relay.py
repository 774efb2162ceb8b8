"""The relay of `relay --server` in this process, with a real server and a real receiver."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.harness.attached import attached, succeeded
from tests.harness.egress import HERE
from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import Served, open_served
from tests.harness.waiting import until, until_async
from tests.harness.world import Faults
from webhooks.v1 import delivery_pb2, subscription_pb2
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.errors import InvalidArgument, StoreUnavailable
from webhooks_server.ops import SystemClock
from webhooks_server.relay.http import RelayConfig, open_relay
from webhooks_server.rpc.client import relay_link, remote_relay
from webhooks_server.rpc.client.remote_relay import RemoteRelayConfig, run_remote_relay


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that sends nothing itself."""
    async with open_served(tmp_path, sends=False) as opened:
        yield opened
        report = await opened.stores.control.audit(None)
        assert report.violations == ()


@contextlib.asynccontextmanager
async def remote(server: str, slots: int = 8) -> AsyncIterator[Faults]:
    """Run a relay for the length of the block; it must end within a second."""
    clock, told, stop = SystemClock(), Faults(), asyncio.Event()
    config = RemoteRelayConfig(server=server, relay="near-by", slots=slots, stop_grace=5.0)
    async with open_relay(RelayConfig(egress=HERE), clock) as sender:
        running = asyncio.create_task(run_remote_relay(config, sender, clock, told, stop))
        try:
            yield told
        finally:
            stop.set()
            await asyncio.wait_for(running, 6)
    assert told.faults == []


def names(told: Faults) -> list[str]:
    return [name for name, _ in told.facts]


async def settled(served: Served, count: int, within: float = 10.0) -> None:
    async def all_succeeded() -> bool:
        counts = await served.stores.deliveries.counts(None)
        return (counts.succeeded, counts.pending) == (count, 0)

    await until_async(all_succeeded, within)


async def test_streams_take_turns_and_nothing_is_given_up(
    served: Served, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_link, "LIFE_SECONDS", 0.3)
    receiver.wait = 0.1
    config = subscription_pb2.SubscriptionConfig(max_in_flight=8)
    await subscribe(served, receiver.url, config=config)
    async with remote(served.address) as told:
        for _ in range(80):
            await served.publisher.Publish(publish())
        await settled(served, 80)
        await until(lambda: names(told).count("relay.attached") >= 3)
    assert (await served.stores.deliveries.counts(None)).attempts == 80
    assert len(receiver.requests) == len(set(receiver.ids)) == 80


async def test_results_that_the_server_cannot_record_are_kept_and_stop_the_leasing(
    served: Served, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_relay, "LEAST_SPOOL", 4)
    monkeypatch.setattr("webhooks_server.engine.relays.RECORD_SECONDS", 0.1)
    monkeypatch.setattr(remote_relay, "PAUSE_AFTER_REFUSAL", 0.05)
    real, back = served.stores.lanes.record, asyncio.Event()

    async def record(records: Sequence[Record]) -> Sequence[Recorded]:
        await back.wait()
        return await real(records)

    monkeypatch.setattr(served.stores.lanes, "record", record)
    config = subscription_pb2.SubscriptionConfig(max_in_flight=64)
    await subscribe(served, receiver.url, config=config)
    async with remote(served.address, slots=4):
        for _ in range(40):
            await served.publisher.Publish(publish())
        await until(lambda: served.engine.relays.slots == 0)
        await asyncio.sleep(0.3)
        # What was taken on before the store went away, and no more.
        assert 4 <= len(receiver.requests) <= 8
        back.set()
        await settled(served, 40, 20)
    assert len(receiver.requests) == len(set(receiver.ids)) == 40
    assert (await served.stores.deliveries.counts(None)).attempts == 40


async def test_a_report_waits_for_the_store_no_longer_than_it_may(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks_server.engine.relays.RECORD_SECONDS", 0.1)
    real = served.stores.lanes.record

    async def refuse(records: Sequence[Record]) -> Sequence[Recorded]:
        raise StoreUnavailable

    await subscribe(served)
    async with attached(served) as relay:
        await served.publisher.Publish(publish())
        (leased,) = await relay.deliveries(1)
        monkeypatch.setattr(served.stores.lanes, "record", refuse)
        (result,) = await relay.report(succeeded(leased))
        assert result.error.code == 14
        monkeypatch.setattr(served.stores.lanes, "record", real)

        async def is_recorded() -> bool:
            (result,) = await relay.report(succeeded(leased))
            return result.state == delivery_pb2.Delivery.STATE_SUCCEEDED

        await until_async(is_recorded)
    await settled(served, 1)
    assert (await served.stores.deliveries.counts(None)).attempts == 1


async def test_another_process_of_the_store_takes_a_report(tmp_path: Path) -> None:
    async with open_served(tmp_path, sends=False) as first:
        await subscribe(first)
        async with attached(first) as relay:
            await first.publisher.Publish(publish())
            (leased,) = await relay.deliveries(1)
    async with open_served(tmp_path, sends=False) as second:
        request = pb.ReportDeliveriesRequest(relay="far-away", reports=[succeeded(leased)] * 2)
        for _ in range(2):
            answer = await second.relays.ReportDeliveries(request)
            states = [one.state for one in answer.results]
            assert states == [delivery_pb2.Delivery.STATE_PENDING] * 2
        async with attached(second) as relay:
            (again,) = await relay.deliveries(1)
            assert (again.delivery, again.attempt_number) == (leased.delivery, 3)
            await relay.report(succeeded(again))
        assert (await second.stores.control.audit(None)).violations == ()
        assert second.telemetry.faults == []


async def test_a_relay_that_the_server_refuses_ends(served: Served) -> None:
    clock, told = SystemClock(), Faults()
    config = RemoteRelayConfig(server=served.address, relay="Not A Name")
    async with open_relay(RelayConfig(egress=HERE), clock) as sender:
        with pytest.raises(InvalidArgument, match=r"open\.relay"):
            await run_remote_relay(config, sender, clock, told, asyncio.Event())
