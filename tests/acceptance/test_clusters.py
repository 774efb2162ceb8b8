"""Engines that share a PostgreSQL database (engine.md, EB3, EB4, EC1, EC7)."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, server_process
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.receiver import Receiver
from tests.harness.waiting import until, until_async
from webhooks_server.domain import shares
from webhooks_server.engine import discovery, peers
from webhooks_server.engine.announcing import Announcing
from webhooks_server.engine.discovery import Discovery
from webhooks_server.storage.postgres.pool import Pool
from webhooks_server.storage.postgres.session import Session

pytestmark = pytest.mark.long

CALM = 0.4


@pytest.fixture
def cluster(database: PostgresDatabase) -> Cluster:
    return Cluster(database)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines believe soon that others are gone, or here to stay."""
    monkeypatch.setattr(shares, "SETTLED", 0.3)
    monkeypatch.setattr(peers, "CALM", CALM)


@pytest.mark.usefixtures("hasty")
async def test_engines_share_by_slots_and_give_back_to_who_joins(cluster: Cluster) -> None:
    async with (
        cluster.world("one") as one,
        cluster.world("two") as two,
        cluster.world("three", slots=512) as three,
    ):
        async with one.engine() as first:
            await cluster.shared(256)
            async with two.engine(), three.engine():
                # A quarter of the surplus goes each second.
                await until(lambda: cluster.owned().get("one", 0) < 256, 5)
                assert cluster.owned()["one"] >= 256 - 48
                assert {status.engine for status in first.status()} == {"one", "two", "three"}
            await cluster.shared(256)
        assert cluster.owned() == {}
        assert one.telemetry.faults == two.telemetry.faults == three.telemetry.faults == []


async def test_engines_that_start_together_share_at_once(cluster: Cluster) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(4):
            world = await stack.enter_async_context(cluster.world(f"engine-{number}"))
            await stack.enter_async_context(world.engine())
        await cluster.shared(64, 64, 64, 64)


@pytest.mark.usefixtures("hasty")
async def test_the_work_of_a_killed_server_goes_on_within_two_seconds(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    async with (
        cluster.world("survivor") as world,
        server_process(cluster.database, tmp_path) as killed,
    ):
        await cluster.shared(256)
        for number in range(10):
            await world.subscribe(f"{receiver.url}/{number}")
        async with world.engine() as engine:
            receiver.gate = asyncio.Event()
            for _ in range(2):
                await world.publish(engine)
            # Of each new subscription one request is in flight.
            await receiver.got(10)
            begun = time.monotonic()
            killed.kill()
            receiver.gate.set()
            await until(lambda: cluster.owned() == {"survivor": 256})
            took = time.monotonic() - begun
            await world.settled()
        wanted = {(one.path, one.headers["webhook-id"]) for one in receiver.requests}
        assert len(wanted) == 20
        assert len(receiver.requests) <= 20 + 10
        assert took < 2.5
        await world.audited()


@pytest.mark.usefixtures("hasty")
async def test_a_paused_server_changes_nothing_any_more(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    async with (
        cluster.world("survivor", lease=1.0) as world,
        server_process(cluster.database, tmp_path) as paused,
    ):
        await cluster.shared(256)
        await world.subscribe(receiver.url)
        receiver.gate = asyncio.Event()
        async with world.engine() as engine:
            accepted = await world.publish(engine)
            await receiver.got(1)
            paused.pause()
            await until(lambda: set(cluster.owned()) == {"survivor"})
            await receiver.got(2)
            receiver.gate.set()
            await world.settled()
            paused.resume()

            async def late() -> bool:
                rows = cluster.database.administrator.rows(
                    "SELECT number, late FROM attempts ORDER BY number"
                )
                return rows == [(1, 0), (2, 1)]

            await until_async(late)
            await asyncio.sleep(0.5)
        assert len(set(receiver.ids)) == 1
        assert len(receiver.requests) == 2
        assert accepted.deliveries[0].attempt_count == 0
        await world.audited()


@pytest.mark.parametrize("missing", ["word", "looks", "both"])
async def test_whatever_wake_up_is_lost_nothing_is_stuck(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing in {"word", "both"}:
        monkeypatch.setattr(Announcing, "published", lambda *_: None)
    if missing in {"looks", "both"}:
        monkeypatch.setattr(Discovery, "learn", lambda *_: None)
    if missing == "both":
        monkeypatch.setattr(Discovery, "hear", lambda *_: None)
    fast = {"backstop_interval": 0.05, "backstop_partitions": 32} if missing == "both" else {}
    async with cluster.world("owner", **fast) as owner, cluster.world("publisher") as other:
        await other.subscribe(receiver.url)
        async with owner.engine():
            await cluster.shared(256)
            # It has no share, and its publishes are none of its own lanes.
            async with other.engine(slots=1, transient=True) as publisher:
                for _ in range(5):
                    await other.publish(publisher)
                    await asyncio.sleep(0.05)
                await receiver.got(5)
                await owner.settled()
        assert len(receiver.requests) == 5
        await owner.audited()


async def test_what_is_committed_out_of_order_is_found(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC1: its number was drawn long before others that were seen."""
    monkeypatch.setattr(Announcing, "published", lambda *_: None)
    monkeypatch.setattr(discovery, "FIRST_NUMBERS", 0)
    slow = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.event_type = 'slow' THEN PERFORM pg_sleep(4); END IF; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow();
    """
    async with (
        cluster.world("owner", backstop_interval=1000) as owner,
        cluster.world("other") as other,
        cluster.world("third") as third,
    ):
        cluster.database.administrator.execute(slow)
        await other.subscribe(receiver.url)
        async with owner.engine():
            await cluster.shared(256)
            waiting = asyncio.ensure_future(other.append("slow", [b"{}"]))
            await asyncio.sleep(0.3)
            for _ in range(5):
                await third.append("quick", [b"{}"])
                await asyncio.sleep(0.3)
            await receiver.got(5, 1.0)
            assert not waiting.done()
            await waiting
            await receiver.got(6, 5.0)
            await owner.settled()
        await owner.audited()


async def test_a_session_that_is_killed_again_and_again_loses_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    async with cluster.world("one") as one, cluster.world("two") as two:
        await one.subscribe(receiver.url)
        async with one.engine() as engine, two.engine() as other:
            await cluster.all_owned(2)
            killed = 0
            for number in range(15):
                await one.publish(engine if number % 2 else other)
                killed += cluster.database.kill("session")
                await asyncio.sleep(0.2)
            assert killed >= 10
            await one.settled()
            assert sum(cluster.owned().values()) == 256
        assert sorted(receiver.ids) == sorted(set(receiver.ids))
        assert len(receiver.requests) == 15
        await one.audited()


async def test_an_idle_engine_asks_little(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat each 300 ms; the back-stop and the fan-outs that are owed, each second."""
    asked: list[str] = []

    def count(of: type, name: str) -> None:
        real = getattr(of, name)

        async def counted(*arguments: object, **options: object) -> object:
            asked.append(name)
            return await real(*arguments, **options)

        monkeypatch.setattr(of, name, counted)

    count(Pool, "run")
    count(Pool, "transact")
    count(Session, "_beat")
    async with cluster.world("one") as one, one.engine():
        await cluster.shared(256)
        await asyncio.sleep(1)
        asked.clear()
        cpu = time.process_time()
        await asyncio.sleep(3)
        assert 8 <= asked.count("_beat") <= 11
        assert len(asked) <= 20
        assert time.process_time() - cpu < 3 * 0.05
