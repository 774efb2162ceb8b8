"""Recording.

Results of attempts go to the store in groups, and none is ever dropped (EA1, EC14).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.errors import RecordRefused, Unavailable
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.outcomes import Outcomes
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, LaneStore, Telemetry

MAX_BATCH = 512
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


def _ignore() -> None:
    """Do nothing."""


class Result(NamedTuple):
    """A record that waits for its commit, and whom to tell of that, or that there is none.

    One that is not `counted` is in the figures of another process.
    """

    record: Record
    done: Callable[[Recorded], None]
    failed: Callable[[], None]
    counted: bool


class Recorder:
    """The loop that commits records; while one group commits the next one gathers."""

    def __init__(
        self,
        store: LaneStore,
        index: MatchIndex,
        clock: Clock,
        telemetry: Telemetry,
        refused: Callable[[], None],
        recorded: Callable[[bytes, Recorded | None], None],
    ) -> None:
        """Take the collaborators, and whom to tell what.

        `refused`: that the store takes no record now. `recorded`: what became of each in the end,
        by its attempt's token, None where the store does not take it.
        """
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._tell_refused = refused
        self._tell_recorded = recorded
        self._outcomes = Outcomes(index, telemetry)
        self._waiting: deque[Result] = deque()
        self._committing = 0
        self._wanted = Signal(clock)
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def unrecorded(self) -> int:
        """How many results are not on record yet."""
        return len(self._waiting) + self._committing

    def submit(
        self,
        record: Record,
        done: Callable[[Recorded], None],
        failed: Callable[[], None] = _ignore,
        *,
        counted: bool = True,
    ) -> None:
        """Record this.

        `done` is called once it is committed, `failed` where the store does not take it.
        """
        self._waiting.append(Result(record, done, failed, counted))
        self._empty.clear()
        self._wanted.set()

    async def record(self, record: Record, *, counted: bool = True) -> Recorded:
        """Record this, and return what the store made of it; raises RecordRefused."""
        answer: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()

        def done(recorded: Recorded) -> None:
            if not answer.done():
                answer.set_result(recorded)

        def failed() -> None:
            if not answer.done():
                answer.set_exception(RecordRefused())

        self.submit(record, done, failed, counted=counted)
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
        """Commit a batch, however long the store is away."""
        pause = FIRST_PAUSE
        while True:
            try:
                answers = await self._store.record([result.record for result in batch])
            except Unavailable as error:
                self._tell_refused()
                self._telemetry.fault("records.waiting", error, unrecorded=self.unrecorded)
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception as error:  # noqa: BLE001 - the loop never dies, see EA1
                await self._refuse(batch, error)
                return
            else:
                for result, answer in zip(batch, answers, strict=True):
                    if result.counted:
                        self._outcomes.count(result.record, answer)
                    result.done(answer)
                    self._tell_recorded(result.record.token, answer)
                return

    async def _refuse(self, batch: Sequence[Result], error: Exception) -> None:
        # The store has quarantined what it could. Which record it takes nothing of, it tells where
        # that is alone; of the others, those that are stored already are only answered again.
        if len(batch) > 1:
            for result in batch:
                await self._commit([result])
            return
        (result,) = batch
        self._telemetry.fault("record.refused", error, delivery=result.record.uid.hex())
        result.failed()
        self._tell_recorded(result.record.token, None)
