"""The one thread that writes: whole transactions, one hop each."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable
from webhooks_server.storage.sql.connection import BUSY_SECONDS, run_pragma, store_errors
from webhooks_server.storage.sql.readers import Gate

Result = TypeVar("Result")

MAX_WAITING = 1024
# How long the gate stays shut for readers to leave.
_GATE_SECONDS = 0.1


class WriterThread:
    """Owns the only connection that writes and checkpoints.

    A hop per statement, as aiosqlite makes it, was measured five times slower (performance.md).
    """

    def __init__(self, engine: Engine, database: Path, gate: Gate) -> None:
        self._connection = engine.connect()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._wal = database.with_name(f"{database.name}-wal")
        self._gate = gate
        self.asked = 0
        self._turn = asyncio.Lock()
        self._let_in = asyncio.Event()
        self._let_in.set()
        self._closed = False
        self.written = asyncio.Event()
        """Set by each transact(), for whoever keeps the log small."""

    async def run(self, script: Callable[[Connection], Result]) -> Result:
        """Run a script that opens its transactions itself.

        Whoever waits may go away; the script runs to its end.
        """
        if self._closed:
            raise StoreUnavailable
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._run, script)

    async def transact(
        self, script: Callable[[Connection], Result], *, dry_run: bool = False
    ) -> Result:
        """Run a script in a transaction of its own, which a dry run rolls back.

        They take turns, so that a group waits for one of them and not for all that were asked for.
        """
        if self.asked >= MAX_WAITING:
            raise ServerOverloaded
        self.asked += 1
        try:
            async with self._turn:
                while self.is_alone:
                    await self._let_in.wait()
                return await self.run(in_transaction(script, dry_run=dry_run))
        finally:
            self.written.set()
            self.asked -= 1

    @property
    def is_alone(self) -> bool:
        """Whether transact() is kept out."""
        return not self._let_in.is_set()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep transact() out: what run() reads in the block stays so until run() changes it.

        At most one transaction is under way already, and ends before the first run().
        """
        self._let_in.clear()
        try:
            yield
        finally:
            self._let_in.set()

    def wal_size(self) -> int:
        """Return the size of the write-ahead log in bytes; 0 where there is none to be seen."""
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    async def truncate_wal(self) -> None:
        """Move the write-ahead log into the database and empty it, if readers leave soon."""
        await self.run(self._truncate)

    def close(self) -> None:
        """Wait for what runs, and close the connection."""
        self._closed = True
        self._executor.shutdown()
        self._connection.close()

    def _run(self, script: Callable[[Connection], Result]) -> Result:
        with store_errors():
            return script(self._connection)

    def _truncate(self, connection: Connection) -> None:
        with self._gate.shut(_GATE_SECONDS):
            # A long reader, such as an audit, is not waited for: then it is moved but not emptied.
            run_pragma(connection, "busy_timeout = 0")
            try:
                run_pragma(connection, "wal_checkpoint(TRUNCATE)")
            finally:
                run_pragma(connection, f"busy_timeout = {int(BUSY_SECONDS * 1000)}")


def in_transaction(
    script: Callable[[Connection], Result], *, dry_run: bool = False
) -> Callable[[Connection], Result]:
    """Return a script for run() that does this one in a transaction of its own."""

    def whole(connection: Connection) -> Result:
        with connection.begin() as transaction:
            result = script(connection)
            if dry_run:
                transaction.rollback()
        return result

    return whole
