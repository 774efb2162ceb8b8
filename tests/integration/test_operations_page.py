"""The operations page of a real server: its figures are those of the audit, its probes tell."""

import asyncio
import json
import resource
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from tests.harness.command_line import line_with, send_signal, serving
from tests.harness.receiver import Receiver, open_receiver
from tests.harness.requests import create, publish
from tests.harness.scraping import get, scrape
from tests.harness.served import PARENT, refused
from tests.harness.waiting import until_async
from webhooks.v1 import admin_service_pb2, event_pb2, publisher_service_pb2, subscription_pb2
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.app.serving import open_app
from webhooks_server.domain.errors import StartError
from webhooks_server.ops.catalogue import DISTRIBUTIONS, LEVELS
from webhooks_server.settings import Settings

ANY = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A server with a page."""

    page: str
    channel: grpc.aio.Channel

    async def audit(self) -> admin_service_pb2.AuditResponse:
        stub = AdminServiceStub(self.channel)
        return await stub.Audit(admin_service_pb2.AuditRequest())

    async def settled(self) -> None:
        async def none_pending() -> bool:
            return (await self.audit()).pending_count == 0

        await until_async(none_pending)

    async def becomes(self, status: int) -> None:
        async def has_become() -> bool:
            return (await get(self.page, "/ready")).status == status

        await until_async(has_become)


@pytest.fixture
async def watched(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    """The whole server, in this process."""
    given = getattr(request, "param", {})
    settings = Settings(listen=ANY, ops_listen=ANY, data_dir=tmp_path, **given)
    async with (
        open_app(settings) as running,
        grpc.aio.insecure_channel(running.server.address) as channel,
    ):
        yield Watched(page=running.page, channel=channel)


@asynccontextmanager
async def watched_process(data_dir: Path, *options: str) -> AsyncIterator[tuple[Watched, Process]]:
    """The same in a process of its own."""
    async with serving(data_dir, "--ops-listen", ANY, *options) as server:
        line = json.loads(await line_with(server.process.stderr, "page.serving"))
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Watched(page=line["address"], channel=channel), server.process


def fill_disk(process: Process, *, full: bool = True) -> None:
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))


async def traffic(watched: Watched, receiver: Receiver, events: int) -> None:
    """Publish to one that takes everything, one that fails once and one that refuses for good."""
    subscriptions = SubscriptionServiceStub(watched.channel)
    publisher = PublisherServiceStub(watched.channel)
    for pattern in ("good.*", "good.one"):
        await subscriptions.CreateSubscription(create(receiver.url, events=(pattern,)))
    async with open_receiver() as refusing:
        refusing.status = 500
        policy = subscription_pb2.RetryPolicy(max_attempts=1)
        await subscriptions.CreateSubscription(
            create(refusing.url, events=("bad.*",), retry_policy=policy)
        )
        for number in range(events):
            await publisher.Publish(publish(event_type="good.one", event_id=f"one-{number}"))
        await publisher.Publish(publish(event_type="good.one", event_id="one-0"))
        batch = [event_pb2.EventInput(event_type="bad.two") for _ in range(3)]
        await publisher.BatchPublish(
            publisher_service_pb2.BatchPublishRequest(parent=PARENT, events=batch)
        )
        await refused(publisher.Publish(publish(event_type="not a type")))
        await watched.settled()


async def test_the_figures_are_those_of_the_audit(watched: Watched, receiver: Receiver) -> None:
    await traffic(watched, receiver, 10)
    found, audit = await scrape(watched.page), await watched.audit()

    assert found.value("events_total", result="accepted") == audit.event_count == 13
    assert found.value("events_total", result="duplicate") == 1
    assert found.value("deliveries_total", state="succeeded") == audit.succeeded_count == 20
    assert found.value("deliveries_total", state="failed") == audit.failed_count == 3
    assert found.total("attempts_total") == audit.attempt_count == 23
    assert found.value("attempts_total", outcome="http_error") == 3
    publish_method = "webhooks.v1.PublisherService.Publish"
    assert found.value("calls_total", method=publish_method) == 12
    assert found.total("calls_failed_total") == 1
    assert found.value("calls_failed_total", method=publish_method, reason="INVALID_FIELD") == 1
    assert found.value("publish_seconds_count") == 12
    assert found.value("attempt_seconds_count") == found.value("lag_seconds_count") == 23
    # Each record, and each Publish that was not known already, was in a group.
    assert found.value("commit_operations_sum") == 11 + 23
    assert found.total("faults_total") == 0


async def test_every_bound_is_told_with_its_level(watched: Watched) -> None:
    found = await scrape(watched.page)

    assert {name for name in LEVELS if not found.has(name)} == set()
    assert {name for name in DISTRIBUTIONS if not found.has(f"{name}_bucket")} == set()
    assert found.value("requests_in_flight_limit") == 256
    assert found.value("calls_running_limit", kind="calls") == 1000
    assert found.value("wal_bytes_limit") == 16 * 1024 * 1024
    assert found.value("store_writable") == 1


async def test_what_hangs_is_seen_in_flight(watched: Watched, receiver: Receiver) -> None:
    receiver.gate = asyncio.Event()
    await SubscriptionServiceStub(watched.channel).CreateSubscription(
        create(receiver.url, config=subscription_pb2.SubscriptionConfig(max_in_flight=2))
    )
    for _ in range(5):
        await PublisherServiceStub(watched.channel).Publish(publish())
    await receiver.got(1)
    await asyncio.sleep(0.05)
    found, hanging = await scrape(watched.page), receiver.open_requests
    receiver.gate.set()

    # A lane that has proven nothing yet begins with one request.
    assert found.value("requests_in_flight") == hanging == 1
    assert 1 <= found.value("buffered_deliveries") <= 4
    assert found.value("lanes") == 1
    assert 0.05 <= found.value("oldest_due_seconds") < 5


@pytest.mark.long
async def test_the_series_do_not_grow_with_subscriptions(
    watched: Watched, receiver: Receiver
) -> None:
    await traffic(watched, receiver, 3)
    before = await scrape(watched.page)
    subscriptions = SubscriptionServiceStub(watched.channel)
    for number in range(100):
        await subscriptions.CreateSubscription(
            create(f"{receiver.url}/{number}", events=(f"many.n{number}",))
        )
    for number in range(100):
        await PublisherServiceStub(watched.channel).Publish(publish(event_type=f"many.n{number}"))
    await watched.settled()
    after = await scrape(watched.page)

    assert after.value("deliveries_total", state="succeeded") >= 100
    assert set(after.series) - set(before.series) == set()


async def test_ready_turns_with_the_store(tmp_path: Path) -> None:
    async with watched_process(tmp_path) as (watched, process):
        await watched.becomes(200)
        fill_disk(process)
        publishing = PublisherServiceStub(watched.channel).Publish(publish())
        assert (await refused(publishing)).reason == "STORE_UNAVAILABLE"
        await watched.becomes(503)
        found = await scrape(watched.page)
        assert (await get(watched.page, "/live")).status == 200
        fill_disk(process, full=False)
        await watched.becomes(200)

    assert found.value("store_writable") == 0
    assert found.value("facts_total", fact="store.unwritable") == 1


async def test_a_server_that_stops_is_not_ready_and_lives_on(tmp_path: Path) -> None:
    async with watched_process(tmp_path, "--drain-delay", "0.5") as (watched, process):
        send_signal(process, signal.SIGTERM)
        await watched.becomes(503)
        assert (await get(watched.page, "/live")).body == "live\n"
        # A second signal would end it at once.
        async with asyncio.timeout(20):
            await process.wait()


@pytest.mark.parametrize("watched", [{"metrics_tenants": 5}], indirect=True)
async def test_tenants_are_named_where_that_is_wanted(watched: Watched) -> None:
    await PublisherServiceStub(watched.channel).Publish(publish())
    found = await scrape(watched.page)
    assert found.value("events_total", tenant="default", result="accepted") == 1


async def test_a_page_that_cannot_be_served_is_told(tmp_path: Path, watched: Watched) -> None:
    settings = Settings(listen=ANY, ops_listen=watched.page, data_dir=tmp_path / "2")
    with pytest.raises(StartError, match=watched.page):
        async with open_app(settings):
            pass


async def test_without_being_asked_for_there_is_no_page(tmp_path: Path) -> None:
    async with open_app(Settings(listen=ANY, data_dir=tmp_path)) as running:
        assert running.page == ""
