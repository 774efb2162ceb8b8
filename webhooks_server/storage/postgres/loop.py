"""The loop that commits groups on one connection, whatever befalls it (engine.md, EA3)."""

import asyncio
import random
from collections.abc import Callable

from sqlalchemy import Connection

from webhooks_server.domain.errors import StoreConflict, StoreUnavailable
from webhooks_server.ports import Telemetry
from webhooks_server.storage.postgres.config import PATIENCE_SECONDS
from webhooks_server.storage.postgres.connection import Result, Script
from webhooks_server.storage.postgres.link import Link
from webhooks_server.storage.postgres.numbers import probe
from webhooks_server.storage.postgres.troubles import Trouble, trouble_of
from webhooks_server.storage.sql.accept import Append
from webhooks_server.storage.sql.backlog import Backlog
from webhooks_server.storage.sql.group import Clashes, Group, Refusal, Written, find_clashes
from webhooks_server.storage.sql.record import RecordBatch

# A group clashes once, with what is stored; more often only where its operations are at odds.
_MOST_CLASHES = 3
_MOST_BUSY = 3
_BUSY_PAUSE = 0.05


class DatabaseGone(StoreUnavailable):
    """The database has not come back for so long that nobody is kept waiting for it."""


class GroupLoop:
    """Group commit without a timer: while one transaction is committed, the next ones gather."""

    def __init__(
        self,
        link: Link,
        backlog: Backlog,
        write: Callable[[Connection, Group], Written | Refusal],
        telemetry: Telemetry,
    ) -> None:
        self._link = link
        self._backlog = backlog
        self._write = write
        self._telemetry = telemetry
        self._wake = asyncio.Event()
        self._closed = False

    def add_append(self, append: Append) -> None:
        """Let an append wait for the next group; raises ServerOverloaded where too many do."""
        self._check_open()
        self._backlog.add_append(append)
        self._wake.set()

    def add_batch(self, batch: RecordBatch) -> None:
        """Let records wait for the next group."""
        self._check_open()
        self._backlog.add_batch(batch)
        self._wake.set()

    def close(self) -> None:
        """Take nothing more; run() ends once all that waits is written."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write groups until close()."""
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            while self._backlog:
                await self._settle(await self._backlog.gather_group())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable

    async def _settle(self, group: Group) -> None:
        """Answer everybody in a group, halving it until a bad operation is alone."""
        try:
            await self._commit(group)
        except DatabaseGone as error:
            self._telemetry.fault("database.gone", error)
            group.fail(error)
            while self._backlog:
                self._backlog.take_group().fail(error)
        except StoreUnavailable as error:
            group.fail(error)
        except Exception as error:  # noqa: BLE001 - the loop never dies, see EA3
            parts = group.parts()
            for part in parts:
                await self._settle(part)
            if not parts:
                await self._settle_alone(group, error)

    async def _settle_alone(self, group: Group, error: Exception) -> None:
        """Answer the one operation that could not be written."""
        if trouble_of(error) in {Trouble.BUSY, Trouble.LOCKED}:
            group.fail(StoreUnavailable())
            return
        await self._settle_records(group)
        group.fail(error)

    async def _settle_records(self, group: Group) -> None:
        """Record what one batch holds in parts; what no database takes is quarantined (EA1)."""
        for batch in group.batches:
            if not batch.is_last_try:
                parts = batch.parts()
                await self._settle(Group(batches=parts))
                batch.join(parts)

    async def _commit(self, group: Group) -> None:
        patience = _Patience(self._link, lambda: not self._closed)
        clashes = 0
        while group.appends or group.batches:
            begun = asyncio.get_running_loop().time()
            try:
                outcome = await self._link.run(_bound(self._write, group))
                if outcome is Refusal.CLASH:
                    group = group.without(await self._link.run(_bound(_look_up, group)))
            except Exception as error:  # noqa: BLE001 - looked at, and raised again where it stays
                await patience.bear(error)
                group = group.without_answered()
                continue
            if isinstance(outcome, Written):
                group.answer(outcome)
                took = asyncio.get_running_loop().time() - begun
                self._telemetry.measure("commit_seconds", took)
                self._telemetry.measure("commit_operations", group.size)
                return
            if outcome is Refusal.STALE:
                # More deliveries than one group may have, now that it is matched anew.
                self._backlog.put_back(group)
                return
            clashes += 1
            if clashes == _MOST_CLASHES:
                raise StoreConflict


class _Patience:
    """How often and how long one group is tried again."""

    def __init__(self, link: Link, may_wait: Callable[[], bool]) -> None:
        self._link = link
        self._may_wait = may_wait
        self._end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        self._busy = 0

    async def bear(self, error: Exception) -> None:
        """Return after a while where the same group may be tried again; else raise why not.

        What was lost is tried again with the same ids and tokens: it may be stored already.
        """
        match trouble_of(error):
            case Trouble.LOST:
                if not self._may_wait() or asyncio.get_running_loop().time() > self._end:
                    raise DatabaseGone from error
                await asyncio.sleep(self._link.pause())
            case Trouble.BUSY:
                if self._busy == _MOST_BUSY:
                    raise error
                self._busy += 1
                pause = random.uniform(0, _BUSY_PAUSE)  # noqa: S311 - spreads, hides nothing
                await asyncio.sleep(pause)
            case Trouble.REFUSED:
                raise StoreUnavailable from error
            case Trouble.LOCKED | Trouble.FAULT:
                raise error


def _bound(write: Callable[[Connection, Group], Result], group: Group) -> Script[Result]:
    return lambda connection: write(connection, group)


def _look_up(connection: Connection, group: Group) -> Clashes:
    with connection.begin():
        # A commit that writes: once it has returned, whatever was found here is as safe (EA11).
        probe(connection)
        return find_clashes(connection, group)
