"""Several engines on one PostgreSQL database: some in this process, some in processes of theirs."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness.command_line import line_with, start
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.waiting import until_async
from tests.harness.world import Faults, World
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.engine import EngineConfig
from webhooks_server.ops import SystemClock
from webhooks_server.storage.postgres import open_postgres

_OWNED = "SELECT owner, count(*) FROM partitions WHERE owner <> '' GROUP BY owner"


@dataclass
class Cluster:
    """A database, and what its engines own."""

    database: PostgresDatabase

    @contextlib.asynccontextmanager
    async def world(self, name: str, **config: object) -> AsyncIterator[World]:
        """Stores of their own for an engine of this name."""
        clock, index, telemetry = SystemClock(), MatchIndex(), Faults()
        made = EngineConfig(engine=name, user_agent="test/1", **config)  # type: ignore[arg-type]
        async with open_postgres(self.database.config(), index, clock, telemetry) as stores:
            yield World(stores, index, telemetry, IdSource(clock.wall), clock, made)

    def owned(self) -> dict[str, int]:
        return dict(self.database.administrator.rows(_OWNED))

    async def shared(self, *counts: int, within: float = 10.0) -> None:
        """Wait until so many partitions are owned by the engines, the fewest first."""

        async def as_wanted() -> bool:
            owned = sorted(self.owned().values())
            return owned == sorted(counts)

        try:
            await until_async(as_wanted, within)
        except AssertionError:
            raise AssertionError(f"{self.owned()}") from None

    async def all_owned(self, engines: int, within: float = 10.0) -> None:
        """Wait until so many engines own all partitions."""

        async def as_wanted() -> bool:
            owned = self.owned()
            return len(owned) == engines and sum(owned.values()) == PARTITIONS

        await until_async(as_wanted, within)


class ServerProcess:
    """A server in a process of its own, which a test stops or kills."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def server_process(
    database: PostgresDatabase, tmp_path: Path
) -> AsyncIterator[ServerProcess]:
    """Run a server on a database; it is killed at the end where it runs still."""
    process = await start(
        "serve",
        *("--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", str(tmp_path)),
        variables={"WEBHOOKS_DATABASE_URL": database.url},
    )
    try:
        await line_with(process.stderr, "server.serving")
        yield ServerProcess(process.pid)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        await process.communicate()
