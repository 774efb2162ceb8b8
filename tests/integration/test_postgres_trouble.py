"""What callers and receivers notice when PostgreSQL is in trouble (reliability.md 3; EA4, EA11)."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.processes import started
from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import PARENT, Refusal, Served, open_served, refused
from tests.harness.waiting import until
from tests.integration.test_full_disk import (
    NOT_SERVING,
    SERVING,
    SLOTS,
    Server,
    answer,
    held,
    nothing_lost,
)
from webhooks.v1 import event_service_pb2
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import FROM_THE_FIRST
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.schema import events

pytestmark = pytest.mark.long

_FULL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""
_FREE = "DROP TRIGGER full_disk ON attempts; DROP TRIGGER full_disk ON events"


@pytest.fixture
async def on_postgres(database: PostgresDatabase, tmp_path: Path) -> AsyncIterator[Served]:
    """A server on PostgreSQL that owns everything."""
    async with open_served(tmp_path, database=database.config()) as opened:
        await until(lambda: len(opened.engine.ownership.lanes.epochs) == 256, 15)
        yield opened


def is_asked_to_come_again(refusal: Refusal) -> bool:
    """Whether a publish was answered as one that may be tried again."""
    retry = refusal.details["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    is_unavailable = refusal.code is grpc.StatusCode.UNAVAILABLE
    return is_unavailable and retry.retry_delay.ToTimedelta().total_seconds() > 0


async def test_a_full_disk_stops_the_sending_until_there_is_room(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    """S6: nothing is sent that could not be recorded, and all goes on by itself."""
    async with (
        started("serve", database.url, "--slots", str(SLOTS + 1)) as process,
        grpc.aio.insecure_channel(process.address) as channel,
    ):
        server = Server(process.process.pid, channel)
        await server.becomes(SERVING)
        await held(server, receiver, 12, within=15)
        database.administrator.execute(_FULL)
        refusal = await refused(server.publisher.Publish(publish(), timeout=5))
        assert refusal.reason == "STORE_UNAVAILABLE"
        assert is_asked_to_come_again(refusal)
        answer(receiver)
        await server.becomes(NOT_SERVING)
        for _ in range(3):
            answer(receiver)
            await asyncio.sleep(0.1)
        # A slot takes its next delivery while the record of the last one is being refused.
        assert len(receiver.requests) <= 2 * SLOTS
        database.administrator.execute(_FREE)
        begun = time.monotonic()
        await server.becomes(SERVING)
        assert time.monotonic() - begun <= 5
        await nothing_lost(server, receiver, 12)


async def test_a_publish_that_no_standby_has_is_not_acknowledged(
    owned_database: PostgresDatabase, on_postgres: Served
) -> None:
    """EA11: it is refused before its caller gives up, and found once there is a standby again."""
    administrator = owned_database.administrator
    administrator.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    administrator.execute("SELECT pg_reload_conf()")
    try:
        begun = time.monotonic()
        call = on_postgres.publisher.Publish(publish(event_id="e1"), timeout=2)
        refusal = await refused(call)
        assert time.monotonic() - begun < 2
        assert is_asked_to_come_again(refusal)
    finally:
        administrator.execute("ALTER SYSTEM RESET synchronous_standby_names")
        administrator.execute("SELECT pg_reload_conf()")
    answered = await on_postgres.publisher.Publish(publish(event_id="e1"), timeout=5)
    assert answered.duplicate
    assert administrator.value("SELECT count(*) FROM events") == 1


async def test_reads_that_hang_keep_nothing_from_being_published_and_delivered(
    database: PostgresDatabase, on_postgres: Served, receiver: Receiver
) -> None:
    """S5: what callers read has connections of its own, and not all of them."""
    await subscribe(on_postgres, receiver.url)
    await on_postgres.publisher.Publish(publish(event_id="first"))
    await receiver.got(1)
    database.administrator.execute("BEGIN; LOCK TABLE event_purges IN ACCESS EXCLUSIVE MODE")
    wanted = event_service_pb2.GetEventRequest(name=f"{PARENT}/events/first")
    reads = [
        asyncio.ensure_future(refused(on_postgres.events.GetEvent(wanted, timeout=3)))
        for _ in range(20)
    ]
    await asyncio.sleep(0.3)
    took = []
    for number in range(10):
        begun = time.monotonic()
        await on_postgres.publisher.Publish(publish(event_id=f"e{number}"), timeout=5)
        took.append(time.monotonic() - begun)
    await receiver.got(11)
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'event_purges'::regclass"
    )
    assert database.administrator.value(waiting) > 0
    recorded = "SELECT count(*) FROM attempts"
    await until(lambda: database.administrator.value(recorded) == 11)
    assert max(took) < 1, took
    assert await on_postgres.engine.ready()
    database.administrator.execute("ROLLBACK")
    await asyncio.gather(*reads, return_exceptions=True)


async def test_a_process_that_froze_with_an_event_keeps_nobody_else_waiting(
    database: PostgresDatabase, on_postgres: Served
) -> None:
    """EA4: its transaction holds an event id; who publishes that one is told, the others go on."""
    await on_postgres.publisher.Publish(publish(event_id="before"))
    copied = ", ".join("'x'" if column.name == "id" else column.name for column in events.c)
    copied = copied.replace("seq", "999999", 1)
    database.administrator.execute(
        f"BEGIN; INSERT INTO events SELECT {copied} FROM events"  # noqa: S608
    )
    begun = time.monotonic()
    waiting = asyncio.ensure_future(
        refused(on_postgres.publisher.Publish(publish(event_id="x"), timeout=8))
    )
    await asyncio.gather(
        *(
            on_postgres.publisher.Publish(publish(event_id=f"e{number}"), timeout=8)
            for number in range(20)
        )
    )
    assert time.monotonic() - begun < 4
    assert is_asked_to_come_again(await waiting)
    assert time.monotonic() - begun < 8
    database.administrator.execute("ROLLBACK")
    answered = await on_postgres.publisher.Publish(publish(event_id="x"), timeout=5)
    assert not answered.duplicate


async def test_a_lost_session_voids_from_where_on_lanes_are_read(
    database: PostgresDatabase, on_postgres: Served
) -> None:
    """EA10: the next one may lead to a standby that was promoted, whose clock is another."""
    low_water, lane = on_postgres.engine.ownership.lanes.low_water, SubscriptionNumber(7)
    low_water.begin(lane)
    low_water.learn(lane, Instant(5))
    await asyncio.sleep(1)
    assert low_water.begin(lane) == 5
    assert database.kill("session") == 1
    await until(lambda: low_water.begin(lane) == FROM_THE_FIRST)
