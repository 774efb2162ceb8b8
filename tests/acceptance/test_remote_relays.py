"""Relays as processes of their own, with nothing but a way to the server."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from tests.harness.command_line import finish, line_with, run, send_signal, serving, start
from tests.harness.receiver import Receiver
from tests.harness.remote import open_line, relaying, stopped
from tests.harness.requests import create, publish, subscribe
from tests.harness.served import PARENT, Served, open_served
from tests.harness.waiting import until, until_async
from webhooks.v1 import (
    admin_service_pb2,
    event_pb2,
    publisher_service_pb2,
    subscription_pb2,
)
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub

pytestmark = pytest.mark.long

SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server in this process that sends nothing itself; all must add up at the end."""
    async with open_served(tmp_path, sends=False) as opened:
        yield opened
        report = await opened.stores.control.audit(None)
        assert report.violations == ()
        assert opened.telemetry.faults == []


async def publish_many(served: Served, count: int, name: str = "event") -> None:
    for first in range(0, count, 100):
        events = [
            event_pb2.EventInput(event_type="a.b", event_id=f"{name}-{number}")
            for number in range(first, min(first + 100, count))
        ]
        await served.publisher.BatchPublish(
            publisher_service_pb2.BatchPublishRequest(parent=PARENT, events=events)
        )


async def proven(served: Served, receiver: Receiver) -> asyncio.Event:
    """Let the receiver take one delivery: before, it has but one at a time.

    Returns the gate that the next ones wait at.
    """
    await publish_many(served, 1, "proof")
    await receiver.got(1)
    await settled(served)
    receiver.requests.clear()
    receiver.gate = gate = asyncio.Event()
    return gate


async def settled(served: Served, within: float = 20.0) -> None:
    async def nothing_is_pending() -> bool:
        return (await served.stores.deliveries.counts(None)).pending == 0

    await until_async(nothing_is_pending, within)


async def test_a_thousand_deliveries_and_no_secret_on_the_line(
    served: Served, receiver: Receiver
) -> None:
    config = subscription_pb2.SubscriptionConfig(secret=SECRET, max_in_flight=64)
    await subscribe(served, receiver.url, config=config)
    async with open_line(served.address) as line, relaying(line.address) as relay:
        await publish_many(served, 1000)
        await settled(served)
        said = bytes(line.taken)
        finished = await stopped(relay)
    assert (finished.status, "relay.stopped_dirty" in finished.err) == (0, False)
    assert len(receiver.requests) == len(set(receiver.ids)) == 1000
    assert (await served.stores.deliveries.counts(None)).attempts == 1000
    # HTTP/2 carries bytes of messages as they are: the body is found, the secret is not.
    assert said.count(b"event-999") >= 1
    for secret in (SECRET.encode(), b"c2VjcmV0" * 2, b"secret" * 2):
        assert secret not in said


async def test_a_relay_that_is_killed_is_replaced_within_two_seconds(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url)
    async with relaying(served.address) as first, relaying(served.address):
        gate = await proven(served, receiver)
        await publish_many(served, 8)
        await receiver.got(8)
        first.kill()
        killed_at = time.monotonic()
        await first.wait()
        again = await receiver.got(9)
        assert time.monotonic() - killed_at < 2
        gate.set()
        await settled(served)
    duplicates = len(again) - len(set(receiver.ids))
    assert 1 <= duplicates <= 8
    assert len(set(receiver.ids)) == 8


async def test_results_outlast_a_cut_line(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url)
    async with open_line(served.address) as line, relaying(line.address) as relay:
        gate = await proven(served, receiver)
        await publish_many(served, 4)
        await receiver.got(4)
        line.cut()
        # What comes of the requests is known while there is nobody to tell.
        gate.set()
        await line_with(relay.stderr, "relay.detached")
        await asyncio.sleep(0.3)
        line.mend()
        await settled(served)

        async def all_are_told() -> bool:
            return (await served.stores.deliveries.counts(None)).attempts == 13

        # The proof; four abandoned, four sent anew, and four late reports of the first four.
        await until_async(all_are_told)
    assert len(receiver.requests) == 8
    assert len(set(receiver.ids)) == 4


async def test_a_stop_reports_what_is_in_flight_and_starts_nothing(
    served: Served, receiver: Receiver
) -> None:
    config = subscription_pb2.SubscriptionConfig(max_in_flight=64)
    await subscribe(served, receiver.url, config=config)
    async with relaying(served.address, "--slots", "2") as relay:
        gate = await proven(served, receiver)
        await publish_many(served, 5)
        await receiver.got(2)
        send_signal(relay, signal.SIGTERM)
        await line_with(relay.stderr, "relay.stopping")
        await until(lambda: served.engine.relays.slots == 0)
        gate.set()
        finished = await finish(relay)
    assert finished.status == 0
    assert "relay.stopped_dirty" not in finished.err
    assert "relay.stopped" in finished.err
    counts = await served.stores.deliveries.counts(None)
    assert (counts.succeeded, counts.pending, counts.attempts) == (3, 3, 3)
    assert len(receiver.requests) == 2


async def test_a_stop_without_a_server_ends_with_the_grace(
    served: Served, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    await subscribe(served, receiver.url)
    async with (
        open_line(served.address) as line,
        relaying(line.address, "--stop-grace", "0.5") as relay,
    ):
        await publish_many(served, 1)
        await receiver.got(1)
        line.cut()
        receiver.gate.set()
        await line_with(relay.stderr, "relay.detached")
        finished = await stopped(relay)
        assert finished.status == 0
        assert "relay.stopped_dirty" in finished.err
    async with relaying(served.address):
        await settled(served)


async def test_serve_without_a_relay_sends_through_those_attached(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with (
        serving(tmp_path, "--no-relay") as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        await SubscriptionServiceStub(channel).CreateSubscription(create(receiver.url))
        await PublisherServiceStub(channel).Publish(publish())
        admin = AdminServiceStub(channel)
        ask = admin_service_pb2.GetRelayStatusRequest()
        status = await admin.GetRelayStatus(ask)
        assert (list(status.workers), status.stats.pending_count) == ([], 1)
        async with relaying(server.address) as relay:
            await receiver.got(1)
            assert [one.relay for one in (await admin.GetRelayStatus(ask)).workers] == ["far-away"]
            # Stopped while a relay is attached, the server sends it away and ends.
            send_signal(server.process, signal.SIGTERM)
            line = json.loads(await line_with(relay.stderr, "relay.detached"))
            assert "shutting down" in line["reason"]
            # A second signal, at the end of the block, would end it at once.
            await asyncio.wait_for(server.process.wait(), 20)


async def test_a_relay_waits_for_its_server(tmp_path: Path) -> None:
    process = await start("relay", "--log-format", "json", "--server", "grpc://127.0.0.1:9")
    line = json.loads(await line_with(process.stderr, "relay.not_attached"))
    assert "no server answers at 127.0.0.1:9" in line["reason"]
    finished = await stopped(process)
    assert finished.status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--server grpc://host:port"),
        (("--server", "grpcs://127.0.0.1:9"), "grpcs, with TLS, is not supported yet"),
        (("--server", "http://127.0.0.1:9"), "must be grpc://host:port"),
        (("--server", "127.0.0.1:9", "--relay-name", "A b"), "--relay-name must be"),
    ],
    ids=range(4),
)
async def test_wrong_arguments_are_told_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    finished = await run("relay", *arguments)
    assert finished.status == 2
    (line,) = finished.err.splitlines()
    assert told in line
