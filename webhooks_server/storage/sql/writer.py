"""The loop that commits groups: it takes what waits, writes it as one, and answers each alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from sqlalchemy import Connection

from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.errors import StoreConflict, StoreUnavailable
from webhooks_server.domain.event import Accepted, Publish
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.ports import Telemetry
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.accept import append_of
from webhooks_server.storage.sql.backlog import Backlog
from webhooks_server.storage.sql.changes import read_changes
from webhooks_server.storage.sql.config import LARGEST_WAL
from webhooks_server.storage.sql.database import Result
from webhooks_server.storage.sql.dialects import Numbers, keep_state
from webhooks_server.storage.sql.group import (
    Group,
    Refusal,
    Written,
    find_clashes,
    write_group,
)
from webhooks_server.storage.sql.prepare import Preparation
from webhooks_server.storage.sql.record import RecordBatch
from webhooks_server.storage.sql.thread import WriterThread, in_transaction

# A group clashes once, with what is stored; more often only where its operations are at odds.
_MOST_TRIES = 3
# How long a long reader that stands in the way, or a fault, is left alone.
_TRUNCATION_PAUSE = 1.0


class GroupWriter:
    """Group commit without a timer: while one transaction is committed, the next ones gather."""

    def __init__(
        self,
        thread: WriterThread,
        index: MatchIndex,
        clock: StoreClock,
        numbers: Numbers,
        telemetry: Telemetry,
    ) -> None:
        self._telemetry = telemetry
        self._thread = thread
        self._index = index
        self._clock = clock
        self._numbers = numbers
        self._preparation = Preparation(index, clock, numbers)
        self.backlog = Backlog(self._preparation)
        self._wake = asyncio.Event()
        thread.written = self._wake
        self._closed = False
        self._truncate_after = 0.0

    async def append(self, publish: Publish) -> Sequence[Accepted]:
        """Accept a Publish with the next group."""
        self._check_open()
        if not publish.events:
            return ()
        append = append_of(publish, asyncio.get_running_loop().create_future())
        self.backlog.add_append(append)
        self._wake.set()
        return await append.future

    async def record(self, engine: str, records: Sequence[Record]) -> Sequence[Recorded]:
        """Record attempts with the next group."""
        self._check_open()
        batch = RecordBatch(
            engine=engine,
            records=records,
            future=asyncio.get_running_loop().create_future(),
        )
        self.backlog.add_batch(batch)
        self._wake.set()
        return await batch.future

    async def insert(
        self, count: int, script: Callable[[Connection, Sequence[int]], Result]
    ) -> Result:
        """Run a script in a transaction of its own, with so many seqs for new deliveries.

        What waits here is numbered after them, since it is committed after them: the script waits
        for no turn, in which others would be numbered after it and written before it.
        """
        self._preparation.renumber()
        seqs, now = self._numbers.take_deliveries(count), self._clock.now()

        def whole(connection: Connection) -> Result:
            keep_state(connection, now, self._numbers)
            return script(connection, seqs)

        return await self._thread.run(in_transaction(whole))

    def close(self) -> None:
        """Take nothing more; run() ends once all that waits is written."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write groups until close(); nobody is left waiting when it ends, however it does."""
        try:
            while not self._closed:
                await self._wake.wait()
                self._wake.clear()
                while self.backlog:
                    await self._finish(await self.backlog.gather_group())
                # What others wrote may have filled the log.
                await self._finish(Group())
        finally:
            self._closed = True
            self.backlog.refuse(StoreUnavailable())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable

    async def _finish(self, group: Group) -> None:
        """Settle a group and keep the log small; a fault in that is told, and stops no other."""
        try:
            await self._settle(group)
            await self._truncate_wal()
        except BaseException as error:
            group.fail(StoreUnavailable())
            if not isinstance(error, Exception):
                raise
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the loop that writes groups met a fault", "exception": error}
            )

    async def _settle(self, group: Group) -> None:
        """Answer everybody in a group, halving it until a bad operation is alone (EA3)."""
        try:
            await self._write(group)
        except StoreUnavailable as error:
            group.fail(error)
        except Exception as error:  # noqa: BLE001 - the loop never dies, see EA3
            parts = group.parts()
            for part in parts:
                self._preparation.renumber()
                await self._settle(part)
            if not parts:
                await self._settle_records(group.batches)
                group.fail(error)

    async def _settle_records(self, batches: Sequence[RecordBatch]) -> None:
        """Record what one batch holds in parts; what no database takes is quarantined (EA1)."""
        for batch in batches:
            if batch.is_last_try:
                continue
            parts = batch.parts()
            await self._settle(Group(batches=parts))
            batch.join(parts)

    async def _write(self, group: Group) -> None:
        for _ in range(_MOST_TRIES):
            if not group.appends and not group.batches:
                return
            appends = [self._preparation.of(append) for append in group.appends]
            begun = time.monotonic()
            outcome = await self._thread.run(
                partial(
                    write_group,
                    group=group,
                    appends=appends,
                    clock=self._clock,
                    numbers=self._numbers,
                )
            )
            match outcome:
                case Written():
                    group.answer(outcome)
                    self._telemetry.measure("commit_seconds", time.monotonic() - begun)
                    self._telemetry.measure("commit_operations", group.size)
                    return
                case Refusal.STALE:
                    await self._write_anew(group)
                    return
                case Refusal.CLASH:
                    clashes = await self._thread.run(
                        in_transaction(partial(find_clashes, group=group))
                    )
                    group = group.without(clashes)
                    self._preparation.renumber()
        raise StoreConflict

    async def _write_anew(self, group: Group) -> None:
        """Match a stale group anew and write it, before anybody moves the version again.

        Else a steady stream of changes would always be faster, and no group ever be written.
        """
        if self._thread.is_alone:
            raise StoreConflict
        with self._thread.alone():
            await self._refresh_index()
            # Its appends may need more than one group now.
            self.backlog.put_back(group)
            await self._settle(self.backlog.take_group())

    async def _refresh_index(self) -> None:
        known = None
        while known is None or not known.complete:
            known = await self._thread.run(
                in_transaction(partial(read_changes, since=self._index.version))
            )
            self._index.apply(known)

    async def _truncate_wal(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._truncate_after or self._thread.wal_size() <= LARGEST_WAL:
            return
        self._truncate_after = now + _TRUNCATION_PAUSE
        # It is tried again; whoever writes next learns what is the matter.
        with suppress(StoreUnavailable):
            await self._thread.truncate_wal()
        if self._thread.wal_size() <= LARGEST_WAL:
            self._truncate_after = now


@asynccontextmanager
async def keep_running(writer: GroupWriter) -> AsyncIterator[None]:
    """Let a writer run beside the block, which is cancelled and raises its error if it dies.

    What waits when the block ends is written first.
    """
    async with open_tasks() as tasks:
        running = tasks.create_task(writer.run(), name="sqlite-writer")
        try:
            yield
        finally:
            writer.close()
            # A group of tasks would cancel it where the block failed.
            await asyncio.wait([running])
