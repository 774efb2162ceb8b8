"""Recording.

Results of attempts go to the store in groups, and none is ever dropped (EA1, EC14).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from webhooks_server.domain.delivery import DeliveryState, Reason, Record, Recorded
from webhooks_server.domain.errors import Unavailable, WebhooksError
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, LaneStore, Telemetry

MAX_BATCH = 512
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


class Result(NamedTuple):
    """A record that waits for its commit, and whom to tell."""

    record: Record
    done: Callable[[Recorded], None]


class Recorder:
    """The loop that commits records; while one group commits the next one gathers."""

    def __init__(
        self,
        store: LaneStore,
        clock: Clock,
        telemetry: Telemetry,
        refused: Callable[[], None],
    ) -> None:
        """Take the collaborators, and whom to tell that the store refused a record."""
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._tell_refused = refused
        self._waiting: deque[Result] = deque()
        self._committing = 0
        self._wanted = Signal(clock)
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def unrecorded(self) -> int:
        """How many results are not on record yet."""
        return len(self._waiting) + self._committing

    def submit(self, record: Record, done: Callable[[Recorded], None]) -> None:
        """Record this; `done` is called once it is committed."""
        self._waiting.append(Result(record, done))
        self._empty.clear()
        self._wanted.set()

    async def record(self, record: Record) -> Recorded:
        """Record this, and return what the store made of it."""
        answer: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()

        def done(recorded: Recorded) -> None:
            if not answer.done():
                answer.set_result(recorded)

        self.submit(record, done)
        return await answer

    async def flushed(self) -> None:
        """Return when everything submitted is on record."""
        await self._empty.wait()

    async def run(self) -> None:
        """Commit what is waiting, for ever."""
        while True:
            await self._wanted.wait()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                self._committing = len(batch)
                await self._commit(batch)
                self._committing = 0
            self._empty.set()

    async def _commit(self, batch: Sequence[Result]) -> None:
        """Commit a batch; one that fails is split until the bad record is alone."""
        pause = FIRST_PAUSE
        while True:
            try:
                answers = await self._store.record([result.record for result in batch])
            except Unavailable as error:
                self._tell_refused()
                self._telemetry.fault("records.waiting", error, unrecorded=self.unrecorded)
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            except WebhooksError as error:
                await self._split(batch, error)
                return
            for result, answer in zip(batch, answers, strict=True):
                result.done(answer)
            return

    async def _split(self, batch: Sequence[Result], error: WebhooksError) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
            return
        record, done = batch[0]
        self._telemetry.fault("record.refused", error, delivery=record.uid.hex())
        bare = _quarantined(record)
        if record != bare:
            await self._commit([Result(bare, done)])
        # A bare record that is refused stays out: its delivery keeps its place in flight and is not
        # sent again
        # before a restart, which is better than sending it for ever.


def _quarantined(record: Record) -> Record:
    attempt = replace(
        record.attempt,
        request_headers={},
        response_headers={},
        response_body=b"",
        error_message="internal: the result could not be stored",
    )
    return replace(
        record,
        attempt=attempt,
        state=DeliveryState.FAILED,
        state_reason=Reason.QUARANTINED,
        charged=False,
    )
