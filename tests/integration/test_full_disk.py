"""A disk that fills up under a running server, and has room again."""

import asyncio
import json
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from tests.harness.command_line import finish, send_signal, serving
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish
from tests.harness.served import refused
from tests.harness.waiting import until, until_async
from webhooks.v1 import admin_service_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub

pytestmark = pytest.mark.long

# Of three slots, receivers that have not answered yet get two.
SLOTS = 2
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    """A server in a process of its own, whose files can be kept from growing."""

    def __init__(self, pid: int, channel: grpc.aio.Channel) -> None:
        self._pid = pid
        self._channel = channel
        self.publisher = PublisherServiceStub(channel)
        self.subscriptions = SubscriptionServiceStub(channel)
        self.admin = AdminServiceStub(channel)

    def fill_disk(self, *, full: bool = True) -> None:
        _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))

    async def health(self) -> int:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = self._channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        return int(health_pb2.HealthCheckResponse.FromString(await call(b"", timeout=5)).status)

    async def becomes(self, health: int) -> None:
        async def has_become() -> bool:
            return await self.health() == health

        await until_async(has_become)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with (
        serving(tmp_path, "--slots", str(SLOTS + 1)) as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        yield Server(process.process.pid, channel)


async def held(server: Server, receiver: Receiver, count: int, within: float = 5.0) -> None:
    """Let an event go to so many subscriptions of a receiver that does not answer yet."""
    receiver.gate = asyncio.Event()
    for number in range(count):
        await server.subscriptions.CreateSubscription(create(f"{receiver.url}/{number}"))
    await server.publisher.Publish(publish())
    await receiver.got(SLOTS, within)


def answer(receiver: Receiver) -> None:
    """Answer those requests that are there, and none that comes later."""
    assert receiver.gate is not None
    receiver.gate.set()
    receiver.gate.clear()


async def nothing_lost(server: Server, receiver: Receiver, count: int) -> None:
    assert receiver.gate is not None
    receiver.gate.set()
    await until(lambda: len(receiver.requests) >= count)

    async def all_recorded() -> bool:
        report = await server.admin.Audit(admin_service_pb2.AuditRequest())
        assert not report.violations
        return report.succeeded_count == count

    await until_async(all_recorded)
    assert len({request.path for request in receiver.requests}) == len(receiver.requests) == count


async def test_what_cannot_be_recorded_is_not_sent(server: Server, receiver: Receiver) -> None:
    await held(server, receiver, 12)
    server.fill_disk()
    answer(receiver)
    await server.becomes(NOT_SERVING)
    for _ in range(3):
        answer(receiver)
        await asyncio.sleep(0.1)
    # A slot takes its next delivery while the record of the last one is being refused.
    assert len(receiver.requests) <= 2 * SLOTS
    assert (await refused(server.publisher.Publish(publish()))).reason == "STORE_UNAVAILABLE"
    server.fill_disk(full=False)
    await server.becomes(SERVING)
    await nothing_lost(server, receiver, 12)


async def test_a_stop_with_a_full_disk_is_an_orderly_one(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with (
        serving(tmp_path, "--stop-grace", "0.2") as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        server = Server(process.process.pid, channel)
        await held(server, receiver, SLOTS)
        server.fill_disk()
        answer(receiver)
        await server.becomes(NOT_SERVING)
        send_signal(process.process, signal.SIGTERM)
        finished = await finish(process.process)
    assert finished.status == 0
    assert "engine.stopped_dirty" in finished.err
    told = [json.loads(line) for line in finished.err.splitlines()]
    (dirty,) = [line for line in told if line["fact"] == "engine.stopped_dirty"]
    assert dirty["unrecorded"] == SLOTS


async def test_an_event_that_cannot_be_stored_stops_the_sending(
    server: Server, receiver: Receiver
) -> None:
    await held(server, receiver, 6)
    server.fill_disk()
    assert (await refused(server.publisher.Publish(publish()))).reason == "STORE_UNAVAILABLE"
    await server.becomes(NOT_SERVING)
    for _ in range(2):
        answer(receiver)
        await asyncio.sleep(0.1)
    assert len(receiver.requests) == SLOTS
    server.fill_disk(full=False)
    await server.becomes(SERVING)
    await nothing_lost(server, receiver, 6)
