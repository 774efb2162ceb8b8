"""Processes that have nothing to do do next to nothing (performance.md; no busy loop when idle)."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness.command_line import finish, line_with, send_signal, serving, start
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.processes import started

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

SETTLING = 8.0
"""Seconds in which a process finds out that it is alone, and takes all partitions."""
SECONDS = 8.0
"""A look; all that a process does by itself it does more often."""
LOOKS = 3
MOST = 0.01


def used(process: Process) -> float:
    """Return the seconds of a core that a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_idle_processes_use_less_than_a_hundredth_of_a_core(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    async with AsyncExitStack() as rooms:
        enter = rooms.enter_async_context
        file = await enter(serving(tmp_path / "data"))
        server = await enter(started("serve", database.url))
        relay = await enter(started("relay", database.url))
        remote = await start(
            *("relay", "--server", f"grpc://{file.address}", "--log-format", "json"),
        )
        rooms.push_async_callback(finish, remote)
        rooms.callback(send_signal, remote, signal.SIGTERM)
        await line_with(remote.stderr, "relay.attached")
        processes = {
            "serve on SQLite": file.process,
            "serve on PostgreSQL": server.process,
            "relay on PostgreSQL": relay.process,
            "relay --server": remote,
        }
        await asyncio.sleep(SETTLING)
        shares = dict.fromkeys(processes, 1.0)
        for _ in range(LOOKS):
            before = {name: used(process) for name, process in processes.items()}
            await asyncio.sleep(SECONDS)
            for name, process in processes.items():
                share = (used(process) - before[name]) / SECONDS
                # Other work on the cores makes the same steps dearer: the cheapest look counts.
                shares[name] = round(min(shares[name], share), 4)
    assert max(shares.values()) < MOST, shares
