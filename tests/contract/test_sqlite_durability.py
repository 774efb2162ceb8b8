"""Acknowledged is stored: a process that appends is killed, and everything it answered is there."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.shelf import Shelf, StandingClock
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId, SubscriptionId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Stores
from webhooks_server.storage.sql import SqliteConfig, lock, open_sqlite

# Appends and records from 16 tasks at once, and prints a line after each answer.
_WRITING = """
import asyncio, sys
from pathlib import Path
from tests.harness.shelf import Shelf, StandingClock
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Stores
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

async def write(shelf, subscriber, task):
    for number in range(100_000):
        (accepted,) = await shelf.publish(f"e-{task}-{number}", event_type=sys.argv[2])
        print("event", accepted.event.id, flush=True)
        if number % 2:
            await shelf.record(subscriber, accepted.deliveries[0])
            print("attempt", accepted.event.id, flush=True)

async def main():
    config, index, clock = SqliteConfig(data_dir=Path(sys.argv[1])), MatchIndex(), StandingClock()
    async with open_sqlite(config, index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
        subscriber = await shelf.subscribe(sys.argv[2], sys.argv[2])
        await shelf.own()
        await asyncio.gather(*(write(shelf, subscriber, f"{sys.argv[2]}-{n}") for n in range(16)))

asyncio.run(main())
"""


def write_until_killed(data_dir: Path, name: str, lines: int) -> list[tuple[str, str]]:
    """Let a process write, kill it after so many answers, and return all that it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITING, str(data_dir), name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        printed += process.stdout.readlines()
    # The last line may be cut off.
    words = [line.split() for line in printed if line.endswith("\n")]
    return [(kind, event) for kind, event in words]


async def see_recorded(stores: Stores, event: Event) -> None:
    """See that the delivery of an event to the subscription that its id names has succeeded."""
    subscriber = SubscriptionId(event.id.split("-")[1])
    number = (await stores.subscriptions.get(DEFAULT_TENANT, subscriber)).number
    uid = (await stores.deliveries.of_event(event.seq, [number]))[number].uid
    assert uid is not None
    shown = await stores.deliveries.get(DEFAULT_TENANT, subscriber, uid, full=False)
    assert shown.state is DeliveryState.SUCCEEDED


@pytest.mark.parametrize("lines", [1, 40, 400])
@pytest.mark.long
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, lines: int) -> None:
    answered = write_until_killed(tmp_path, "first", lines)
    answered += write_until_killed(tmp_path, "second", lines)
    assert len(answered) >= 2 * lines
    assert lock.owner(tmp_path) is None
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
        await shelf.audited()
        for kind, name in answered:
            event = await opened.stores.events.get(DEFAULT_TENANT, EventId(name))
            if kind == "attempt":
                await see_recorded(opened.stores, event)
    connection = sqlite3.connect(tmp_path / "webhooks.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
