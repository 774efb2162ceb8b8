"""Publish answers when the event is on stable storage, not before.

That commits survive the death of the process is shown here; that they survive the death of the
machine is SQLite's promise, for as long as the connection that writes asks for it.
"""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.harness.command_line import finish, line_with, send_signal, serving, start
from tests.harness.receiver import Receiver
from tests.harness.shelf import Shelf, StandingClock
from tests.harness.signed import subscribe_at
from tests.harness.sqlite import writer_of
from tests.harness.waiting import until
from webhooks_server.domain.errors import WebhooksError
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import EventDraft, connect
from webhooks_server.storage.sql import SqliteConfig, open_sqlite
from webhooks_server.storage.sql.connection import run_pragma

# SQLite's number for FULL: each commit waits until the write-ahead log is on stable storage.
FULL = 2


async def test_the_connection_that_events_are_written_by_syncs_each_commit(tmp_path: Path) -> None:
    def read_settings(connection: Connection) -> tuple[object, object]:
        return run_pragma(connection, "journal_mode"), run_pragma(connection, "synchronous")

    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), StandingClock()) as opened:
        shelf = Shelf(opened.stores, StandingClock(), MatchIndex())
        settings = await writer_of(shelf)._thread.run(read_settings)
    assert settings == ("wal", FULL)


async def publish_until_it_fails(address: str, publisher: int, answered: set[str]) -> None:
    """Publish for as long as the server lives, and keep the name of each event it answered."""
    async with connect(address, SystemClock()) as client:
        client.patience = 0.0
        for number in range(100_000):
            draft = EventDraft(event_type="killed.published", event_id=f"e-{publisher}-{number}")
            try:
                await client.publish(DEFAULT_TENANT, draft)
            except WebhooksError:
                return
            answered.add(draft.event_id)


@pytest.mark.long
async def test_what_a_killed_server_answered_is_delivered_by_the_next(
    tmp_path: Path, receiver: Receiver
) -> None:
    # Nothing is taken before the kill, so that all of it is left to the second server.
    receiver.gate = asyncio.Event()
    answered: set[str] = set()
    options = ("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    process = await start("serve", *options, "--log-format", "json")
    try:
        address = json.loads(await line_with(process.stderr, "server.serving"))["address"]
        await subscribe_at(address, receiver.url)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for publisher in range(16):
                group.create_task(publish_until_it_fails(address, publisher, answered))
            await until(lambda: len(answered) >= 300)
            send_signal(process, signal.SIGKILL)
    finally:
        send_signal(process, signal.SIGKILL)
        await finish(process)
    receiver.gate.set()
    receiver.requests.clear()

    async with serving(tmp_path / "data") as server:
        await until(lambda: set(receiver.ids) >= answered, within=20)
        async with connect(server.address, SystemClock()) as client:
            report = await client.audit()
    assert report.violations == ()
    assert report.events >= len(answered) >= 300
