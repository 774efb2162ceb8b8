"""Reads that take long: audits and backups, one at a time (engine.md, EC4)."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.domain.ids import TenantId
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.audit import count_everything
from webhooks_server.storage.sql.backup import copy_database
from webhooks_server.storage.sql.config import SqliteConfig
from webhooks_server.storage.sql.connection import limit_time, reader_engine, store_errors

Result = TypeVar("Result")

_LONGEST_SECONDS = 30.0


class LongReads:
    """Reads on a connection of their own, outside of the gate: the writer does not wait for them.

    While one runs, the write-ahead log only grows; so a count is given up after 30 seconds.
    """

    def __init__(self, config: SqliteConfig, clock: StoreClock) -> None:
        self._config = config
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-long-reader")
        self._closed = False

    async def audit(self, tenant: TenantId | None) -> AuditReport:
        """Count everything in one snapshot."""
        return await self._run(partial(count_everything, tenant=tenant))

    async def backup(self) -> Backup:
        """Copy the database into the data directory's `backups`."""
        directory = self._config.backups
        return await self._run(partial(copy_database, directory=directory, now=self._clock.now()))

    def close(self) -> None:
        """Wait for what runs, and forget what waits."""
        self._closed = True
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, script: Callable[[Connection], Result]) -> Result:
        if self._closed:
            raise StoreUnavailable
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, script)

    def _read(self, script: Callable[[Connection], Result]) -> Result:
        with store_errors(), reader_engine(self._config.database).connect() as connection:
            limit_time(connection, time.monotonic() + _LONGEST_SECONDS)
            return script(connection)
