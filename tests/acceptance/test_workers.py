"""`--workers`: several processes as one, on one PostgreSQL database."""

import asyncio
import json
import os
import signal
from pathlib import Path

import grpc.aio
import pytest

from tests.harness.cluster import Cluster
from tests.harness.command_line import finish, line_with, run, send_signal, start
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.processes import several
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish
from tests.harness.scraping import get
from tests.harness.waiting import until
from webhooks.v1 import admin_service_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub

pytestmark = pytest.mark.long

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@pytest.fixture
def cluster(database: PostgresDatabase) -> Cluster:
    return Cluster(database)


async def answering(address: str, calls: int = 30) -> set[str]:
    """Return which servers answer, each call on a connection of its own."""
    found = set()
    for _ in range(calls):
        async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
            answer = await AdminServiceStub(channel).GetServerInfo(
                admin_service_pb2.GetServerInfoRequest(), timeout=5
            )
            found.add(answer.server_id)
    return found


async def test_workers_share_one_port_and_all_work(cluster: Cluster, receiver: Receiver) -> None:
    async with several("serve", cluster.database.url, "--workers", "2") as servers:
        assert sorted(servers.workers) == [0, 1]
        assert len(await answering(servers.address)) == 2
        await cluster.all_owned(2, 15)
        async with grpc.aio.insecure_channel(servers.address) as channel:
            subscriptions = SubscriptionServiceStub(channel)
            for number in range(10):
                await subscriptions.CreateSubscription(create(f"{receiver.url}/{number}"))
            await PublisherServiceStub(channel).Publish(publish())
            await receiver.got(10, 10)
        taken = await run(
            "serve",
            "--listen",
            servers.address,
            "--workers",
            "2",
            "--database-url",
            cluster.database.url,
        )
        assert (taken.status, taken.err.count("\n")) == (1, 1)
        assert "is another server running there?" in taken.err
    assert cluster.owned() == {}
    assert len(receiver.requests) == 10


async def test_a_worker_that_dies_is_started_anew(cluster: Cluster) -> None:
    async with several("serve", cluster.database.url, "--workers", "2") as servers:
        os.kill(servers.workers[1], signal.SIGKILL)
        died = json.loads(await line_with(servers.process.stderr, "worker.died"))
        assert (died["worker"], died["code"], died["level"]) == (1, -9, "warning")
        again = json.loads(await line_with(servers.process.stderr, "worker.started"))
        assert again["worker"] == 1
        assert len(await answering(servers.address)) == 2


async def test_workers_of_a_starter_that_is_killed_stop_by_themselves(
    cluster: Cluster,
) -> None:
    killed = -signal.SIGKILL
    async with several("relay", cluster.database.url, "--workers", "2", status=killed) as relays:
        pids = list(relays.workers.values())
        assert len(pids) == 2
        await cluster.all_owned(2, 15)
        relays.process.kill()
        await until(lambda: not any(map(is_running, pids)), 15)
    assert cluster.owned() == {}


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_start_that_cannot_work_is_one_line() -> None:
    url = "postgresql://someone:hidden@127.0.0.1:1/x"
    for command in (("serve", "--listen", "127.0.0.1:0"), ("relay",)):
        refused = await run(*command, "--workers", "3", "--database-url", url)
        assert (refused.status, refused.err.count("\n")) == (1, 1)
        assert "127.0.0.1:1/x cannot be reached" in refused.err


async def test_each_worker_has_a_page_of_its_own(cluster: Cluster) -> None:
    process = await start(
        *("relay", "--workers", "2", "--ops-listen", "127.0.0.1:0", "--log-format", "json"),
        variables={"WEBHOOKS_DATABASE_URL": cluster.database.url},
    )
    try:
        pages = set()
        for _ in range(2):
            line = await line_with(process.stderr, "page.serving")
            pages.add(json.loads(line)["address"])
        await line_with(process.stderr, "relay.started")
        assert len(pages) == 2
        answers = await asyncio.gather(*(get(page, "/ready") for page in pages))
        assert [answer.status for answer in answers] == [200, 200]
    finally:
        send_signal(process, signal.SIGINT)
        finished = await finish(process)
    assert finished.status == 0
    assert "engine.stopped_dirty" not in finished.err
