"""Connections that are renewed, and several servers: calls and streams go on over both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from tests.harness.attached import attached, succeeded
from tests.harness.egress import HERE
from tests.harness.receiver import Receiver
from tests.harness.remote import open_line
from tests.harness.requests import publish, subscribe
from tests.harness.served import Served, open_served, refusal_of
from tests.harness.waiting import until, until_async
from tests.harness.world import Faults
from webhooks.v1 import admin_service_pb2, subscription_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks_client import AsyncWebhooksClient, Event, Published
from webhooks_server.ops import SystemClock
from webhooks_server.relay.http import RelayConfig, open_relay
from webhooks_server.rpc.client.remote_relay import RemoteRelayConfig, run_remote_relay

AGE = 0.5


@pytest.fixture
async def aging(tmp_path: Path) -> AsyncIterator[Served]:
    """A server that sends nothing itself, and ends connections soon."""
    async with open_served(
        tmp_path, sends=False, connection_age=AGE, connection_grace=1.5
    ) as opened:
        yield opened
        report = await opened.stores.control.audit(None)
        assert report.violations == ()


async def events_of(served: Served) -> int:
    return (await served.stores.control.audit(None)).events


async def test_calls_go_on_over_new_connections(aging: Served) -> None:
    async with (
        open_line(aging.address) as line,
        grpc.aio.insecure_channel(line.address) as channel,
    ):
        admin = AdminServiceStub(channel)
        end = asyncio.get_running_loop().time() + 4 * AGE
        while asyncio.get_running_loop().time() < end:
            await admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest(), timeout=5)
            await asyncio.sleep(0.01)
        assert line.connections >= 3


async def test_a_stream_of_events_goes_on_over_new_connections(aging: Served) -> None:
    async def events() -> AsyncIterator[Event]:
        for number in range(40):
            await asyncio.sleep(AGE / 10)
            yield Event(event_type="a.b", data={"number": number}, event_id=f"e-{number}")

    async with open_line(aging.address) as line, AsyncWebhooksClient(line.address) as client:
        results = [one async for one in client.publish_stream(events())]
        assert line.connections >= 2
    assert [isinstance(one, Published) for one in results] == [True] * 40
    assert await events_of(aging) == 40


async def test_a_relay_elsewhere_goes_on_over_new_connections(
    aging: Served, receiver: Receiver
) -> None:
    receiver.wait = 0.05
    config = subscription_pb2.SubscriptionConfig(max_in_flight=8)
    await subscribe(aging, receiver.url, config=config)
    told, stop = Faults(), asyncio.Event()
    clock = SystemClock()
    remote = RemoteRelayConfig(server=aging.address, relay="away", slots=8, stop_grace=5.0)
    async with open_relay(RelayConfig(egress=HERE), clock) as sender:
        running = asyncio.create_task(run_remote_relay(remote, sender, clock, told, stop))
        for _ in range(60):
            await aging.publisher.Publish(publish())
            await asyncio.sleep(0.03)
        await until(lambda: [name for name, _ in told.facts].count("relay.attached") >= 3)

        async def all_succeeded() -> bool:
            counts = await aging.stores.deliveries.counts(None)
            return (counts.succeeded, counts.pending) == (60, 0)

        await until_async(all_succeeded)
        stop.set()
        await running
    # Nothing was given up half way: each was sent once, and each attempt is one of those.
    assert len(receiver.requests) == 60
    assert (await aging.stores.deliveries.counts(None)).attempts == 60
    assert told.faults == aging.telemetry.faults == []


async def test_a_relay_that_stays_too_long_is_given_nothing_more_and_let_go(
    aging: Served, receiver: Receiver
) -> None:
    await subscribe(aging, receiver.url)
    await aging.publisher.Publish(publish())
    async with attached(aging) as relay:
        (leased,) = await relay.deliveries(1)
        await until(lambda: aging.engine.relays.slots == 0)
        # It may not talk itself back in, but finishes what it holds.
        await relay.open()
        assert aging.engine.relays.slots == 0
        (result,) = await relay.report(succeeded(leased))
        assert not result.error.code
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await relay.read("deliveries")
    refusal = refusal_of(ended.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert aging.engine.relays.attached == 0


@pytest.mark.parametrize("listed", [True, False])
async def test_a_client_spreads_its_calls_over_the_servers_it_is_told(
    tmp_path: Path, *, listed: bool
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(open_served(tmp_path / name)) for name in ("1", "2")
        ]
        target = f"ipv4:{one.address},{two.address}" if listed else one.address
        client = await stack.enter_async_context(AsyncWebhooksClient(target))
        for _ in range(20):
            await client.publish("a.b", {})
        stored = [await events_of(served) for served in (one, two)]
    assert sum(stored) == 20
    assert (min(stored) >= 5) is listed
