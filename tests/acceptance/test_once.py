"""Relay passes: `relay --once`, and NotifySubscribers of a process that owns nothing (EC11)."""

import asyncio
import signal
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.harness.cluster import Cluster
from tests.harness.command_line import finish, line_with, run, send_signal, serving, start
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.processes import started
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish
from tests.harness.served import refused
from webhooks.v1 import admin_service_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.engine.discovery import Discovery

pytestmark = pytest.mark.long

ONE = "1 attempts: 1 succeeded, 0 to be retried, 0 failed\n"


@pytest.fixture
def cluster(database: PostgresDatabase) -> Cluster:
    return Cluster(database)


async def leave_one(address: str, url: str) -> None:
    """Subscribe a URL, and publish an event for it."""
    async with grpc.aio.insecure_channel(address) as channel:
        await SubscriptionServiceStub(channel).CreateSubscription(create(url))
        await PublisherServiceStub(channel).Publish(publish())


async def test_on_a_file_whether_a_server_has_it_or_not(tmp_path: Path, receiver: Receiver) -> None:
    once = ("relay", "--once", "--data-dir", str(tmp_path))
    async with serving(tmp_path, "--no-relay") as server:
        await leave_one(server.address, receiver.url)
        # The owner makes the pass although it sends nothing by itself.
        by_owner = await run(*once)
        assert (by_owner.status, by_owner.out) == (0, ONE), by_owner.err
        await leave_one(server.address, f"{receiver.url}/2")
        await asyncio.sleep(0.5)
        assert len(receiver.requests) == 1
    alone = await run(*once, "--json")
    assert alone.status == 0, alone.err
    assert alone.json == {
        "attempts": 2,
        "succeeded": 2,
        "retrying": 0,
        "failed": 0,
        "complete": True,
    }
    again = await run(*once)
    assert (again.status, again.out[:11]) == (0, "0 attempts:")
    audited = await run("audit", "--json", "--data-dir", str(tmp_path))
    assert (audited.json["pending"], audited.json["violations"]) == (0, [])


async def test_what_fails_is_left_to_be_retried_and_what_hangs_to_the_next_pass(
    tmp_path: Path, receiver: Receiver
) -> None:
    once = ("relay", "--once", "--data-dir", str(tmp_path), "--stop-grace", "0.2")
    async with serving(tmp_path, "--no-relay") as server:
        await leave_one(server.address, receiver.url)
    receiver.gate = asyncio.Event()
    late = await run(*once, "--deadline", "1s")
    assert (late.status, late.out) == (
        3,
        "0 attempts: 0 succeeded, 0 to be retried, 0 failed; the deadline came before the end\n",
    )
    receiver.gate.set()
    receiver.status = 500
    failed = await run(*once)
    assert (failed.status, failed.out) == (
        0,
        "1 attempts: 0 succeeded, 1 to be retried, 0 failed\n",
    )


async def test_a_pass_of_nothing_is_one_clear_line(tmp_path: Path) -> None:
    missing = await run("relay", "--once", "--data-dir", str(tmp_path / "none"))
    assert (missing.status, missing.err) == (
        1,
        f"webhooks-server: there is no database in {tmp_path / 'none'}\n",
    )
    assert not (tmp_path / "none").exists()


async def test_where_nobody_else_is_the_pass_takes_everything_and_gives_it_back(
    cluster: Cluster, receiver: Receiver
) -> None:
    url = cluster.database.url
    async with started("serve", url, "--no-relay") as server:
        await leave_one(server.address, receiver.url)
        async with grpc.aio.insecure_channel(server.address) as channel:
            notify = AdminServiceStub(channel).NotifySubscribers
            refusal = await refused(notify(admin_service_pb2.NotifySubscribersRequest()))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NO_ENGINE",
        )
        passed = await run("relay", "--once", "--database-url", url, "--profile", "development")
    assert (passed.status, passed.out) == (0, ONE), passed.err
    assert cluster.owned() == {}


@pytest.mark.parametrize("asked", ["command", "server"])
async def test_engines_that_live_are_woken_and_waited_for(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    # What the owner finds by itself would prove nothing.
    monkeypatch.setattr(Discovery, "learn", lambda *_: None)
    monkeypatch.setattr(Discovery, "hear", lambda *_: None)
    receiver.wait = 0.5
    url = cluster.database.url
    async with cluster.world("owner", backstop_interval=1000.0) as owner:
        await owner.subscribe(receiver.url)
        async with owner.engine(), started("serve", url, "--no-relay") as server:
            await cluster.shared(256)
            await owner.append("a.b", [b"{}"])
            await asyncio.sleep(0.5)
            assert receiver.requests == []
            if asked == "command":
                passed = await run(
                    "relay", "--once", "--database-url", url, "--profile", "development"
                )
                assert passed.status == 0, passed.err
            else:
                async with grpc.aio.insecure_channel(server.address) as channel:
                    await AdminServiceStub(channel).NotifySubscribers(
                        admin_service_pb2.NotifySubscribersRequest()
                    )
            assert len(receiver.requests) == 1
            assert await owner.pending() == 0
            assert cluster.owned() == {"owner": 256}
        await owner.audited()


async def test_a_pass_that_is_told_to_stop_says_so(tmp_path: Path, receiver: Receiver) -> None:
    async with serving(tmp_path, "--no-relay") as server:
        await leave_one(server.address, receiver.url)
    receiver.gate = asyncio.Event()
    process = await start("relay", "--once", "--data-dir", str(tmp_path), "--stop-grace", "0.2")
    await line_with(process.stderr, "relay.started")
    await receiver.got(1, 10)
    send_signal(process, signal.SIGTERM)
    finished = await finish(process)
    assert finished.status == 1
    assert "told to stop before everything was sent" in finished.err
