"""What happens on PostgreSQL when something goes wrong (engine.md, EA1 to EA4, EA11)."""

import asyncio
import time
from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.shelf import ATTEMPT, Shelf, event, publish_of
from tests.harness.world import Faults
from webhooks_server.domain.delivery import DeliveryState, Reason
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import PageRequest
from webhooks_server.ops import SystemClock
from webhooks_server.storage.postgres import open_postgres
from webhooks_server.storage.sql.schema import events

pytestmark = pytest.mark.long

SLOW_COMMIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION wait();
"""
KILL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'webhooks-server ' || $1
"""


def kill(database: PostgresDatabase, name: str) -> int:
    """End the connections of this name; returns how many there were."""
    killed: int = database.administrator.value(KILL, name)
    return killed


async def stored(shelf: Shelf) -> list[str]:
    page = await shelf.stores.events.list(None, (), PageRequest(size=1000), full=False)
    return [one.id for one in reversed(page.items)]


async def test_a_bad_append_fails_alone(postgres: Shelf) -> None:
    """EA3: a group is halved until the bad one is alone, NUL in a text being one of them."""
    answers = await asyncio.gather(
        *(postgres.publish(f"a{number}") for number in range(20)),
        postgres.stores.events.append(publish_of(event("bad", subject="a\0b"))),
        *(postgres.publish(f"b{number}") for number in range(20)),
        return_exceptions=True,
    )
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(failure) for failure in failures] == [DBAPIError]
    assert "a\0b" not in str(failures[0])
    assert len(await stored(postgres)) == 40
    await postgres.audited()


async def test_a_record_that_no_database_takes_is_quarantined_alone(postgres: Shelf) -> None:
    subscriber, rows = await postgres.lane(9)
    records = [postgres.record_of(subscriber, row) for row in rows]
    records[4] = replace(records[4], attempt=replace(ATTEMPT, url="https://a\0b.example"))
    recorded, published = await asyncio.gather(
        postgres.stores.lanes.record(records), postgres.publish("beside")
    )
    states = [one.state for one in recorded]
    assert states == [DeliveryState.SUCCEEDED] * 4 + [DeliveryState.FAILED] + (
        [DeliveryState.SUCCEEDED] * 4
    )
    assert not published[0].duplicate
    assert (await postgres.shown(subscriber, rows[4])).state_reason == Reason.QUARANTINED
    await postgres.audited()


@pytest.mark.parametrize("name", ["accept", "record", "reader"])
async def test_a_connection_that_was_killed_is_opened_anew(
    postgres: Shelf, database: PostgresDatabase, name: str
) -> None:
    subscriber, (row,) = await postgres.lane()
    await postgres.record(subscriber, row, state=DeliveryState.PENDING, due_in=0)
    assert kill(database, name) >= 1
    (accepted,) = await postgres.publish("e1")
    assert not accepted.duplicate
    assert not (await postgres.record(subscriber, row)).late
    assert await stored(postgres) == ["sub-0", "e1"]
    await postgres.subscribe("another")
    await postgres.audited()


async def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """C2: it is committed, the connection breaks, and the group that is written again finds it."""
    subscriber = await postgres.subscribe("sub")
    await postgres.own()
    link = postgres.stores.events._groups._accepting._link  # type: ignore[attr-defined]
    run = link.run
    lost: list[object] = []

    async def lose_the_answer(script: object) -> object:
        outcome = await run(script)
        if not lost:
            lost.append(outcome)
            await link.drop()
            raise ConnectionResetError
        return outcome

    link.run = lose_the_answer
    first, second = await postgres.publish("e1", "e2")
    assert len(lost) == 1
    assert (first.duplicate, second.duplicate) == (False, False)
    assert len(await postgres.due(subscriber)) == 2
    assert not (await postgres.record(subscriber, first.deliveries[0])).late
    await postgres.audited()


async def test_a_record_whose_commit_was_lost_counts_once(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """C8: attempts on record are as many as there were requests."""
    database.administrator.execute(SLOW_COMMIT.format(table="attempts"))
    subscriber, (row,) = await postgres.lane()
    recording = asyncio.ensure_future(
        postgres.record(subscriber, row, state=DeliveryState.PENDING, due_in=0)
    )
    await asyncio.sleep(0.15)
    assert kill(database, "record") == 1
    recorded = await recording
    assert (recorded.attempt_number, recorded.late) == (1, False)
    assert (await postgres.shown(subscriber, row)).attempt_count == 1
    await postgres.audited()


async def test_publishes_under_connections_that_break_are_all_stored_once(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """S2, for a second: every event is there once, whatever its publisher was told."""
    await postgres.subscribe("sub")
    running = True

    async def break_connections() -> None:
        while running:
            kill(database, "accept")
            await asyncio.sleep(0.2)

    breaking = asyncio.ensure_future(break_connections())
    names = [f"e{number}" for number in range(150)]
    for start in range(0, 150, 10):
        await asyncio.gather(*(postgres.publish(name) for name in names[start : start + 10]))
    running = False
    await breaking
    assert sorted(await stored(postgres)) == sorted(names)
    await postgres.audited()


async def test_a_strangers_open_transaction_holds_up_one_publish_alone(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """EA4: who waits for the same event id waits, and nobody with him for long."""
    await postgres.publish("before")
    copied = ", ".join("'x'" if column.name == "id" else column.name for column in events.c)
    copied = copied.replace("seq", "999999", 1)
    database.administrator.execute(
        f"BEGIN; INSERT INTO events SELECT {copied} FROM events"  # noqa: S608
    )
    begun = time.monotonic()
    answers = await asyncio.gather(
        *(postgres.publish(name) for name in ("e1", "x", "e2", "e3")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [tuple, StoreUnavailable, tuple, tuple]
    assert time.monotonic() - begun < 5
    database.administrator.execute("ROLLBACK")
    (accepted,) = await postgres.publish("x")
    assert not accepted.duplicate


async def test_two_processes_with_the_same_events_in_another_order_do_not_deadlock(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """EA2 and EA12: rows go in by id, and who comes second finds duplicates."""
    index = MatchIndex()
    async with open_postgres(database.config(), index, SystemClock(), Faults()) as stores:
        names = [f"e{number:03}" for number in range(200)]
        forth = publish_of(*(event(name) for name in names))
        back = publish_of(*(event(name) for name in reversed(names)))
        one, two = await asyncio.gather(
            postgres.stores.events.append(forth), stores.events.append(back)
        )
    assert [a.duplicate for a in one] != [b.duplicate for b in two]
    assert {a.event.id: a.event.seq for a in one} == {b.event.id: b.event.seq for b in two}
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert database.administrator.value(deadlocks) == 0
    first = one if not one[0].duplicate else list(reversed(one))
    seqs = [accepted.event.seq for accepted in first]
    assert seqs == sorted(seqs) or seqs == sorted(seqs, reverse=True)


async def test_a_commit_that_others_do_not_have_is_not_answered(
    postgres: Shelf, owned_database: PostgresDatabase
) -> None:
    """EA11: a missing standby lets a commit wait, and who ends the wait makes it a warning."""
    database = owned_database
    name = database.administrator.value("SELECT current_database()")
    database.administrator.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    database.administrator.execute("SELECT pg_reload_conf()")
    try:
        publishing = asyncio.ensure_future(postgres.publish("e1"))
        cancel = """
        SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND datname = $1
        """
        cancelled = 0
        for _ in range(100):
            await asyncio.sleep(0.02)
            cancelled += database.administrator.value(cancel, name)
            if cancelled:
                break
        assert cancelled
        await asyncio.sleep(0.1)
        assert not publishing.done()
    finally:
        database.administrator.execute("ALTER SYSTEM RESET synchronous_standby_names")
        database.administrator.execute("SELECT pg_reload_conf()")
    (accepted,) = await publishing
    assert accepted.event.id == "e1"
    assert await stored(postgres) == ["e1"]


async def test_without_a_database_everybody_is_told_so_and_all_goes_on_when_it_is_back(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    subscriber, (row,) = await postgres.lane()
    name = database.administrator.value("SELECT current_database()")
    database.maker.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    for connection in ("accept", "record", "reader"):
        kill(database, connection)
    begun = time.monotonic()
    answers = await asyncio.gather(
        postgres.publish("e1"),
        postgres.record(subscriber, row),
        postgres.stores.events.get(DEFAULT_TENANT, EventId("sub-0")),
        postgres.subscribe("late"),
        return_exceptions=True,
    )
    assert all(isinstance(answer, StoreUnavailable) for answer in answers), answers
    assert time.monotonic() - begun < 6
    assert not await postgres.stores.control.ready()
    database.maker.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert await postgres.stores.control.ready()
    (accepted,) = await postgres.publish("e1")
    assert not accepted.duplicate
    assert not (await postgres.record(subscriber, row)).late
    await postgres.audited()


async def test_a_steady_stream_of_changes_stops_no_publish(postgres: Shelf) -> None:
    """A group follows the control version within its own transaction."""
    subscriber = await postgres.subscribe("sub")
    running = True

    async def change() -> None:
        number = 0
        while running:
            number += 1
            await postgres.stores.subscriptions.update(
                DEFAULT_TENANT,
                subscriber.id,
                lambda one, number=number: replace(one, display_name=f"{number}"),  # type: ignore[misc]
            )

    changing = [asyncio.ensure_future(change()) for _ in range(3)]
    await asyncio.wait_for(
        asyncio.gather(*(postgres.publish(f"e{number}") for number in range(30))), 20
    )
    running = False
    await asyncio.gather(*changing)
    assert len(await postgres.due(subscriber)) == 30


async def test_an_error_beside_the_loops_comes_out_as_itself(database: PostgresDatabase) -> None:
    """What waits is written first, and no commit is cancelled."""
    index = MatchIndex()

    async def fail() -> None:
        async with open_postgres(database.config(), index, SystemClock(), Faults()) as stores:
            publishing.append(asyncio.ensure_future(stores.events.append(publish_of(event("e1")))))
            await asyncio.sleep(0)
            raise LookupError

    publishing: list[asyncio.Future[object]] = []
    with pytest.raises(LookupError):
        await fail()
    await publishing[0]
    assert database.administrator.value("SELECT count(*) FROM events") == 1
