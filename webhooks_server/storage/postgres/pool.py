"""The four connections that read, and on which control data and single deliveries are changed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import AsyncAdaptedQueuePool, Connection
from typing_extensions import override

from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable
from webhooks_server.storage.postgres.config import CALLERS_READERS, READERS, PostgresConfig
from webhooks_server.storage.postgres.connection import (
    Result,
    Script,
    check_kept,
    driver_of,
    open_engine,
)
from webhooks_server.storage.postgres.troubles import (
    UNIQUE_VIOLATION,
    OutcomeUnknown,
    Trouble,
    code_of,
    store_errors,
    trouble_of,
)
from webhooks_server.storage.sql.database import Reads, Transactions

MAX_WAITING = 2048
WAIT_SECONDS = 5.0
MOST_TRIES = 4
_LONGEST_PAUSE = 0.05


class Pool(Transactions, Reads):
    """Runs scripts, each on a connection of its own while it runs."""

    def __init__(self, config: PostgresConfig) -> None:
        self._engine = open_engine(
            config,
            "reader",
            AsyncAdaptedQueuePool,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writing: set[asyncio.Task[object]] = set()
        self.asked = 0
        self._closed = False

    @override
    async def run(self, script: Callable[[Connection], Result]) -> Result:
        with self._admitted():
            return await _tried(lambda: self._read(script))

    @override
    async def transact(
        self, script: Callable[[Connection], Result], *, dry_run: bool = False
    ) -> Result:
        with self._admitted():
            # Whoever waits may go away; a commit that is under way is never cancelled (EA11).
            writing = asyncio.create_task(
                _tried(lambda: self._write(script, dry_run=dry_run)), name="postgres-transaction"
            )
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
            return await asyncio.shield(writing)

    async def close(self) -> None:
        """Wait for what is being written, and close the connections."""
        self._closed = True
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._engine.dispose()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._closed:
            raise StoreUnavailable
        if self.asked >= MAX_WAITING:
            raise ServerOverloaded
        self.asked += 1
        try:
            with store_errors():
                yield
        finally:
            self.asked -= 1

    async def _read(self, script: Script[Result]) -> Result:
        async with self._reading.connect() as connection:
            return await connection.run_sync(_read_whole, script)

    async def _write(self, script: Script[Result], *, dry_run: bool) -> Result:
        async with self._engine.connect() as connection:
            result = await connection.run_sync(script)
            if dry_run:
                return result
            try:
                await connection.commit()
            except Exception as error:
                if trouble_of(error) is Trouble.LOST:
                    raise OutcomeUnknown("the connection was lost during a commit") from error
                raise
            await connection.run_sync(check_kept)
            return result


class CallersReads(Reads):
    """What callers use of the pool: never all of it, so that the engine can always read (S5)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(CALLERS_READERS)

    @override
    async def run(self, script: Callable[[Connection], Result]) -> Result:
        async with self._free:
            return await self._pool.run(script)


async def _tried(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Try something again where another process was in the way, or a connection was stale."""
    for _ in range(MOST_TRIES - 1):
        try:
            return await attempt()
        except Exception as error:
            if not _may_work_again(error):
                raise
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - spreads only
    return await attempt()


def _may_work_again(error: Exception) -> bool:
    if isinstance(error, OutcomeUnknown):
        return False
    is_raced = code_of(error) == UNIQUE_VIOLATION
    return is_raced or trouble_of(error) in {Trouble.BUSY, Trouble.LOCKED, Trouble.LOST}


def _read_whole(connection: Connection, script: Script[Result]) -> Result:
    """Run a script, and end the snapshot that it may have begun."""
    try:
        return script(connection)
    finally:
        if not connection.invalidated and driver_of(connection).is_in_transaction():
            connection.exec_driver_sql("ROLLBACK")
