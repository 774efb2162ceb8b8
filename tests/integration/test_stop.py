"""SIGTERM: nothing new is sent, whoever waits is told, and there is one grace for all."""

import asyncio
import signal
import time
from pathlib import Path

import grpc
import grpc.aio

from tests.harness.command_line import finish, send_signal, serving
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish
from tests.harness.served import refused
from webhooks.v1 import admin_service_pb2, subscription_service_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub

GRACE = 1.5


async def test_a_stop_sends_nothing_new_and_tells_who_waits(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    async with (
        # Two of the three are for receivers that have not proven themselves.
        serving(tmp_path, "--slots", "3") as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        subscriptions = SubscriptionServiceStub(channel)
        made = (await subscriptions.CreateSubscription(create(receiver.url))).subscription
        for number in range(5):
            await subscriptions.CreateSubscription(create(f"{receiver.url}/{number}"))
        await PublisherServiceStub(channel).Publish(publish())
        await receiver.got(2)
        ping = subscriptions.PingSubscription(
            subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        )
        notify = AdminServiceStub(channel).NotifySubscribers(
            admin_service_pb2.NotifySubscribersRequest()
        )
        await receiver.got(3)

        send_signal(server.process, signal.SIGTERM)
        refusal = await refused(notify)
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "SHUTTING_DOWN"
        # Those that are there are answered; there is time enough for what comes after them, if
        # anything did.
        receiver.gate.set()
        receiver.gate.clear()
        assert (await ping).attempt.attempt_number == 1
        finished = await finish(server.process)
        assert (finished.status, len(receiver.requests)) == (0, 3)
        assert "engine.stopped_dirty" not in finished.err


async def test_a_request_that_outlasts_the_grace_is_cut_off(
    tmp_path: Path, receiver: Receiver
) -> None:
    """The call, the use cases and the engine wait for one hanging receiver, and not one by one."""
    receiver.gate = asyncio.Event()
    async with (
        serving(tmp_path, "--stop-grace", str(GRACE)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        subscriptions = SubscriptionServiceStub(channel)
        made = (await subscriptions.CreateSubscription(create(receiver.url))).subscription
        await PublisherServiceStub(channel).Publish(publish())
        ping = subscriptions.PingSubscription(
            subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        )
        await receiver.got(2)
        stopped_at = time.monotonic()
        send_signal(server.process, signal.SIGTERM)
        assert (await refused(ping)).code is grpc.StatusCode.UNAVAILABLE
        finished = await finish(server.process)
        assert finished.status == 0
        assert "engine.stopped_dirty" in finished.err
        assert GRACE <= time.monotonic() - stopped_at < 2 * GRACE
