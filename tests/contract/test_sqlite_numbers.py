"""Seqs go up in the order of commits, and cost no more than what is committed."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, insert

from tests.harness.shelf import Shelf, event, publish_of
from tests.harness.sqlite import held, settled, writer_of
from webhooks_server.domain.delivery import Trigger
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.accept import pack_numbers
from webhooks_server.storage.sql.schema import fanouts

TOO_LARGE = Instant(2**70)
"""No integer of a database; so it stands for whatever a database does not take."""


async def journal(shelf: Shelf) -> None:
    """From now on keep the seqs of new rows in the order of commits."""

    def script(connection: Connection) -> None:
        for table in ("events", "deliveries"):
            connection.exec_driver_sql(f"CREATE TEMP TABLE new_{table} (seq)")
            connection.exec_driver_sql(
                f"CREATE TEMP TRIGGER of_{table} AFTER INSERT ON main.{table}"  # noqa: S608
                f" BEGIN INSERT INTO new_{table} VALUES (new.seq); END"
            )

    await writer_of(shelf)._thread.transact(script)


async def committed(shelf: Shelf, table: str) -> list[int]:
    """Return what the journal has of a table."""
    query = f"SELECT seq FROM new_{table} ORDER BY rowid"  # noqa: S608
    return await writer_of(shelf)._thread.transact(
        lambda connection: list(connection.exec_driver_sql(query).scalars())
    )


async def owe(shelf: Shelf, event_seq: int, *targets: Subscription) -> EventSeq:
    """Let a fan-out for these subscriptions wait."""
    row = {
        "event_seq": event_seq,
        "tenant": DEFAULT_TENANT,
        "trigger": Trigger.PUBLISH,
        "numbers": pack_numbers([one.number for one in targets]),
    }
    await writer_of(shelf)._thread.transact(
        lambda connection: connection.execute(insert(fanouts).values(row))
    )
    return EventSeq(event_seq)


async def test_what_waits_is_numbered_after_a_fan_out_that_is_written_before_it(
    sqlite: Shelf,
) -> None:
    subscriber = await sqlite.subscribe("sub")
    owing = await owe(sqlite, 9999, subscriber)
    await sqlite.publish("refreshes the index")
    await journal(sqlite)
    async with asyncio.TaskGroup() as tasks, held(sqlite):
        first = tasks.create_task(sqlite.publish("first"))
        await settled()
        last = tasks.create_task(sqlite.publish("last"))
        await settled()
        between = tasks.create_task(sqlite.stores.lanes.fan_out(owing))
    seqs = [
        one.seq
        for made in (first.result()[0], between.result(), last.result()[0])
        for one in made.deliveries
    ]
    assert await committed(sqlite, "deliveries") == seqs
    assert seqs == sorted(seqs)


async def test_commits_go_up_in_seq_whatever_comes_together(sqlite: Shelf) -> None:
    """Fan-outs, duplicates, bad operations and changes beside publishes."""
    first, second = await sqlite.subscribe("first"), await sqlite.subscribe("second")
    owing = [await owe(sqlite, 9000 + number, first, second) for number in range(12)]
    await sqlite.publish("stored")
    await journal(sqlite)

    async def fan_out() -> None:
        for one in owing:
            await sqlite.stores.lanes.fan_out(one)

    async def change() -> None:
        for number in range(6):
            patterns = ("*", f"other{number}.*")
            await sqlite.stores.subscriptions.update(
                DEFAULT_TENANT, first.id, partial(replace, events=patterns)
            )

    async def publish(number: int) -> None:
        for turn in range(8):
            names = [f"{number}-{turn}-{one}" for one in range(3)]
            if (number + turn) % 5 == 0:
                await sqlite.publish(*names, "stored")
            elif (number + turn) % 7 == 0:
                with pytest.raises(OverflowError):
                    await sqlite.stores.events.append(
                        publish_of(event(names[0]), event(names[1], occur_time=TOO_LARGE))
                    )
            else:
                await sqlite.publish(*names)

    await asyncio.gather(fan_out(), change(), *(publish(number) for number in range(8)))
    for table in ("events", "deliveries"):
        seqs = await committed(sqlite, table)
        assert len(seqs) > 100
        assert seqs == sorted(seqs)


async def test_a_storm_of_duplicates_numbers_each_a_few_times(sqlite: Shelf) -> None:
    """Each prepared anew for every group before it would be the square of their number."""
    batches = [[f"{number}-{one}" for one in range(300)] for number in range(16)]
    for _ in range(2):
        await asyncio.gather(*(sqlite.publish(*batch) for batch in batches))
    stored = sum(map(len, batches))
    assert stored <= writer_of(sqlite)._numbers.last_event <= 4 * stored
