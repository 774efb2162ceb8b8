"""The threads that read, and the gate that lets the writer be alone (engine.md, EC4)."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TypeVar

from sqlalchemy import Connection, Engine

from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable, TooMuchToRead
from webhooks_server.storage.sql.connection import limit_time, store_errors

Result = TypeVar("Result")

MAX_WAITING = 2048


class Gate:
    """Readers pass it one by one; shut, it keeps new ones out.

    The write-ahead log can start anew only in a moment without readers, and readers that overlap
    leave none: it grew by 50 MiB a second.
    """

    def __init__(self) -> None:
        self._condition = Condition()
        self._inside = 0
        self._shut = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside as a reader, once the gate is open."""
        with self._condition:
            self._condition.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def shut(self, patience: float) -> Iterator[None]:
        """Keep new readers out, and wait so many seconds for those inside to leave."""
        with self._condition:
            self._shut = True
            self._condition.wait_for(lambda: not self._inside, patience)
        try:
            yield
        finally:
            with self._condition:
                self._shut = False
                self._condition.notify_all()


class Readers:
    """A few connections that only read. Every read is short and fetched whole.

    Callers and the engine have their own (reliability.md, S5): else whoever asks for much stops
    all sending.
    """

    def __init__(self, engine: Engine, gate: Gate, count: int, seconds: float = math.inf) -> None:
        """Take how many connections, and after how many seconds a read is interrupted."""
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="sqlite-reader")
        self._idle = [engine.connect() for _ in range(count)]
        self._gate = gate
        self._seconds = seconds
        self.asked = 0
        self._closed = False

    async def run(self, script: Callable[[Connection], Result]) -> Result:
        """Run a script that reads.

        Raises ServerOverloaded where too many wait already, TooMuchToRead where it takes too long.
        """
        if self._closed:
            raise StoreUnavailable
        if self.asked >= MAX_WAITING:
            raise ServerOverloaded
        self.asked += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._run, script)
        finally:
            self.asked -= 1

    def close(self) -> None:
        """Wait for what runs, and close the connections."""
        self._closed = True
        self._executor.shutdown()
        for connection in self._idle:
            connection.close()

    def _run(self, script: Callable[[Connection], Result]) -> Result:
        # As many threads as connections: there is always one left.
        connection = self._idle.pop()
        try:
            with self._gate.passed(), self._limited(connection), store_errors():
                return script(connection)
        finally:
            # Ends the snapshot where the script began one.
            connection.rollback()
            self._idle.append(connection)

    @contextmanager
    def _limited(self, connection: Connection) -> Iterator[None]:
        deadline = time.monotonic() + self._seconds
        limit_time(connection, deadline)
        try:
            yield
        except StoreUnavailable as error:
            if time.monotonic() <= deadline:
                raise
            raise TooMuchToRead from error
