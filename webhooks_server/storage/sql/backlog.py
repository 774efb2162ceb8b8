"""Appends and records that wait for the next group, and what fits one (engine.md, EA2, EC3)."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from webhooks_server.domain.errors import ServerOverloaded
from webhooks_server.domain.ids import EventId, TenantId
from webhooks_server.storage.sql.accept import Append
from webhooks_server.storage.sql.group import Group
from webhooks_server.storage.sql.prepare import Matching
from webhooks_server.storage.sql.record import RecordBatch

MAX_EVENTS = 512
MAX_BYTES = 4 * 1024 * 1024
MAX_DELIVERIES = 2000
MAX_RECORDS = 1000
MAX_WAITING = 4096
MAX_WAITING_BYTES = 64 * 1024 * 1024
# So many turns of the event loop a call takes from gRPC to here.
_TURNS = 3


class Backlog:
    """What waits, in the order of arrival."""

    def __init__(self, preparation: Matching) -> None:
        self._preparation = preparation
        self._appends: deque[Append] = deque()
        self._batches: deque[RecordBatch] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._appends) + len(self._batches)

    @property
    def appends(self) -> int:
        """How many appends wait."""
        return len(self._appends)

    @property
    def batches(self) -> int:
        """How many batches of records wait."""
        return len(self._batches)

    def add_append(self, append: Append) -> None:
        """Let an append wait; raises ServerOverloaded where too many do."""
        if len(self._appends) >= MAX_WAITING or self.bytes + append.size > MAX_WAITING_BYTES:
            raise ServerOverloaded
        # Never before those that are written before it, whose seqs must be lower.
        if not self._appends or self._preparation.is_done(self._appends[-1]):
            self._preparation.of(append)
        self.bytes += append.size
        self._appends.append(append)

    def add_batch(self, batch: RecordBatch) -> None:
        """Let records wait; who sends bounds how many there are, and none may be lost (EC14)."""
        self._batches.append(batch)

    def put_back(self, group: Group) -> None:
        """Let a group wait again, before all others."""
        self._put_back(group.appends)
        self._batches.extendleft(reversed(group.batches))
        self._preparation.renumber()

    def refuse(self, error: Exception) -> None:
        """Answer everybody who waits with an error."""
        Group(appends=tuple(self._appends), batches=tuple(self._batches)).fail(error)

    async def gather_group(self) -> Group:
        """Take what fits one transaction, with what is at the door already.

        No timer: an idle server turns at once. A busy one has calls in all stages of being read,
        and a commit of its own costs more than any of them.
        """
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return self.take_group()

    def take_group(self) -> Group:
        """Take what fits one transaction."""
        appends = list(self._take_appends())
        return Group(appends=appends, batches=list(self._take_batches()))

    def _take_batches(self) -> Iterator[RecordBatch]:
        records = 0
        while self._batches and records < MAX_RECORDS:
            batch = self._batches.popleft()
            records += len(batch.records)
            yield batch

    def _take_appends(self) -> Iterator[Append]:
        events = size = deliveries = 0
        keys: set[tuple[TenantId, EventId]] = set()
        passed_over: list[Append] = []
        while self._appends:
            append = self._appends.popleft()
            self.bytes -= append.size
            if append.is_answered:
                continue
            if not keys.isdisjoint(append.keys):
                # An event id at most once in a group: this one waits for the next (EA2).
                passed_over.append(append)
                continue
            prepared = self._preparation.of(append)
            events += len(prepared.targets)
            size += append.size
            deliveries += prepared.delivery_count
            if keys and (events > MAX_EVENTS or size > MAX_BYTES or deliveries > MAX_DELIVERIES):
                self._put_back((append,))
                break
            keys.update(append.keys)
            yield append
        if passed_over:
            self._put_back(passed_over)
            self._preparation.renumber()

    def _put_back(self, appends: Sequence[Append]) -> None:
        self._appends.extendleft(reversed(appends))
        self.bytes += sum(append.size for append in appends)
