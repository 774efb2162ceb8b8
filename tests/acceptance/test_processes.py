"""Servers and relays as processes that share a PostgreSQL database."""

import asyncio
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import grpc.aio
import pytest

from tests.harness.cluster import Cluster
from tests.harness.command_line import finish, line_with, run, send_signal, serving, start
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.processes import ANY, started
from tests.harness.receiver import Receiver
from tests.harness.remote import open_line
from tests.harness.requests import create, publish
from tests.harness.scraping import get
from tests.harness.waiting import until_async
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.engine.discovery import Discovery

pytestmark = pytest.mark.long


@pytest.fixture
def cluster(database: PostgresDatabase) -> Cluster:
    return Cluster(database)


async def test_a_relay_sends_what_a_server_that_sends_nothing_takes(
    cluster: Cluster, receiver: Receiver
) -> None:
    url = cluster.database.url
    async with (
        started("serve", url, "--no-relay") as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        await SubscriptionServiceStub(channel).CreateSubscription(create(receiver.url))
        publisher = PublisherServiceStub(channel)
        await publisher.Publish(publish(event_id="early"))
        await asyncio.sleep(0.5)
        assert receiver.requests == []
        async with started("relay", url, "--profile", "development"):
            await receiver.got(1, 10.0)
            await cluster.shared(256)
            for number in range(5):
                await publisher.Publish(publish(event_id=f"later-{number}"))
            await receiver.got(6)
        assert cluster.owned() == {}
    audited = await run("audit", "--json", "--database-url", url)
    assert (audited.json["succeeded"], audited.json["violations"]) == (6, [])


async def test_a_relay_is_ready_while_its_database_is_there(cluster: Cluster) -> None:
    where = urlsplit(cluster.database.url)
    async with open_line(f"{where.hostname}:{where.port}") as line:
        through = where._replace(netloc=f"{where.username}@{line.address}").geturl()
        async with started("relay", through) as relay:

            async def becomes(status: int) -> None:
                async def has_become() -> bool:
                    return (await get(relay.page, "/ready")).status == status

                await until_async(has_become, 10)

            await becomes(200)
            line.cut()
            await becomes(503)
            assert (await get(relay.page, "/live")).status == 200
            line.mend()
            await becomes(200)


async def test_a_relay_without_its_database_ends_with_one_line() -> None:
    refused = await run("relay", "--database-url", "postgresql://someone:hidden@127.0.0.1:1/x")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "127.0.0.1:1/x cannot be reached" in refused.err
    assert "hidden" not in refused.err


async def test_a_relay_elsewhere_is_ready_while_it_is_attached(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, open_line(server.address) as line:
        line.cut()
        where = ("--server", line.address, "--ops-listen", ANY, "--log-format", "json")
        process = await start("relay", *where)
        page = json.loads(await line_with(process.stderr, "page.serving"))["address"]

        async def becomes(status: int) -> None:
            async def has_become() -> bool:
                return (await get(page, "/ready")).status == status

            await until_async(has_become, 15)

        await becomes(503)
        line.mend()
        await becomes(200)
        line.cut()
        await becomes(503)
        send_signal(process, signal.SIGTERM)
        assert (await finish(process)).status == 0


async def test_a_server_that_sends_nothing_tells_the_owners_of_what_it_took(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither by looking nor by the back-stop is anything found: being told is all there is.
    monkeypatch.setattr(Discovery, "learn", lambda *_: None)
    async with cluster.world("owner", backstop_interval=1000.0) as owner:
        await owner.subscribe(receiver.url)
        async with owner.engine():
            await cluster.shared(256)
            async with (
                started("serve", cluster.database.url, "--no-relay") as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                await PublisherServiceStub(channel).Publish(publish())
                await receiver.got(1)
                await owner.settled()
