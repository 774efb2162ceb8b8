"""Reads that take long: audits and backups, one at a time (engine.md, EC4)."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from sqlalchemy import Connection

from webhooks_server.domain.audit import AuditReport, Backup, stuck_since
from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable, TooMuchToRead
from webhooks_server.domain.ids import TenantId
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.audit import count_everything
from webhooks_server.storage.sql.backup import copy_database
from webhooks_server.storage.sql.config import SqliteConfig
from webhooks_server.storage.sql.connection import limit_time, reader_engine, store_errors

Result = TypeVar("Result")
Script = Callable[[Connection, float], Result]
"""Reads until a moment of time.monotonic(), from when on its statements are interrupted."""

LONGEST_SECONDS = 30.0


class LongReads:
    """Reads on a connection of their own, outside of the gate: the writer does not wait for them.

    While one runs, the write-ahead log only grows; so it is given up after 30 seconds, and a second
    one is refused: they would add up.
    """

    def __init__(self, config: SqliteConfig, clock: StoreClock) -> None:
        self._config = config
        self._clock = clock
        self._opened = clock.now()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-long-reader")
        # Held by what runs, also when nobody waits for it any more.
        self._busy = Lock()
        self._closed = False

    async def audit(self, tenant: TenantId | None) -> AuditReport:
        """Count everything in one snapshot; raises TooMuchToRead, ServerOverloaded."""
        now = self._clock.now()
        since = stuck_since(now, self._opened)
        return await self._run(
            lambda connection, _: count_everything(connection, tenant, now=now, since=since),
            "an audit",
        )

    async def backup(self) -> Backup:
        """Copy the database into the data directory's `backups`; raises as audit() does."""
        directory, now = self._config.backups, self._clock.now()
        return await self._run(
            lambda connection, deadline: copy_database(connection, directory, now, deadline),
            "a backup",
        )

    def close(self) -> None:
        """Wait for what runs."""
        self._closed = True
        self._executor.shutdown()

    async def _run(self, script: Script[Result], what: str) -> Result:
        if self._closed:
            raise StoreUnavailable
        if not self._busy.acquire(blocking=False):
            raise ServerOverloaded("an audit or a backup runs already; try again after it")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._read, script, what)

    def _read(self, script: Script[Result], what: str) -> Result:
        deadline = time.monotonic() + LONGEST_SECONDS
        try:
            with store_errors(), reader_engine(self._config.database).connect() as connection:
                limit_time(connection, deadline)
                return script(connection, deadline)
        except StoreUnavailable as error:
            if time.monotonic() <= deadline:
                raise
            raise TooMuchToRead(
                f"{what} of this database takes longer than the {LONGEST_SECONDS:.0f} s that it may"
                " beside a server; the command of this name has no bound once the server is stopped"
            ) from error
        finally:
            self._busy.release()
