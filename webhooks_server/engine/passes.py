"""Relay passes: everything that is due now, sent and settled.

The seed's NotifySubscribers() (EC11). What other engines own is forwarded to them by waking their
lanes, and the pass waits for those rows as for its own.
"""

import asyncio
from collections.abc import Sequence

from webhooks_server.domain.bounds import MAX_TIMEOUT
from webhooks_server.domain.delivery import DeliveryState, Recorded
from webhooks_server.domain.errors import ShuttingDown
from webhooks_server.domain.ids import SubscriptionNumber, TenantId
from webhooks_server.domain.lanes import LaneHead, PassResult
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.domain.times import seconds
from webhooks_server.engine.lane import Row
from webhooks_server.engine.lanes import Taken
from webhooks_server.engine.ownership import Ownership
from webhooks_server.engine.relays import Relays
from webhooks_server.ports import Clock, LaneStore, Telemetry

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
PROGRESS_SECONDS = 5.0
MOST_FORWARDED = 1000
"""Lanes of others that are woken: they know what they have, and find it without that too."""
STILL_SECONDS = seconds(MAX_TIMEOUT) + 5
"""A lane of another engine that has not moved for so long waits for its breaker or its rate."""


class Pass:
    """One pass: it covers what was due when it began, in lanes that may send."""

    def __init__(self, tenant: TenantId | None, clock: Clock) -> None:
        """Begin now; with a tenant, for its deliveries alone."""
        self.tenant = tenant
        self._clock = clock
        self._begun = clock.monotonic()
        self._attempts = 0
        self._states: dict[DeliveryState, int] = {}
        self._seen: dict[SubscriptionNumber, tuple[int, float]] = {}

    def count(self, taken: Taken, recorded: Recorded) -> None:
        """Count an attempt that was recorded while the pass runs, where the pass covers it."""
        if self._covers_row(taken.row) and self.tenant in (None, taken.lane.tenant):
            self._attempts += 1
            self._states[recorded.state] = self._states.get(recorded.state, 0) + 1

    def covers(self, head: LaneHead, index: MatchIndex, asked: float) -> bool:
        """Tell whether a lane may send, and its first row was due when the pass began.

        `asked` is the moment before the lane was read: by one after it, a row that came due just
        before the pass would seem to come due within it, by as long as the answer took.
        """
        entry = index.get(head.subscription)
        if entry is None or not index.sends(head.subscription):
            return False
        since = round((asked - self._begun) * 1_000_000)
        return self.tenant in (None, entry.tenant) and head.due_in + since <= 0

    def is_still(self, head: LaneHead) -> bool:
        """Tell whether the first row of a lane has been the same for long."""
        now = self._clock.monotonic()
        # To the millisecond: the clocks of two reads differ by less.
        due = round(head.due_in / 1000 + now * 1000) // 1000
        known, since = self._seen.get(head.subscription, (None, now))
        if known != due:
            since = now
        self._seen[head.subscription] = (due, since)
        return now - since >= STILL_SECONDS

    def _covers_row(self, row: Row) -> bool:
        return row.due_at <= self._begun

    def result(self, *, is_complete: bool = True) -> PassResult:
        """Return what was counted so far."""
        return PassResult(
            attempts=self._attempts,
            succeeded=self._states.get(DeliveryState.SUCCEEDED, 0),
            retrying=self._states.get(DeliveryState.PENDING, 0),
            failed=self._states.get(DeliveryState.FAILED, 0),
            is_complete=is_complete,
        )


class Passes:
    """The passes that run."""

    def __init__(
        self,
        *,
        store: LaneStore,
        ownership: Ownership,
        relays: Relays,
        index: MatchIndex,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take where lanes are found, whose they are, and who sends here."""
        self._store = store
        self._ownership = ownership
        self._relays = relays
        self._index = index
        self._clock = clock
        self._telemetry = telemetry
        self._running: dict[Pass, asyncio.Timeout] = {}

    async def run(self, tenant: TenantId | None, within: float | None = None) -> PassResult:
        """Have what is due sent, and return once none of it is left, or after so many seconds.

        Raises NoEngine where nobody sends, here or elsewhere, and ShuttingDown at end().
        """
        with self._relays.lent():
            self._check()
            one = Pass(tenant, self._clock)
            try:
                async with asyncio.timeout(within) as end:
                    self._running[one] = end
                    await self._fan_outs_made()
                    await self._settled(one)
                    return one.result()
            except TimeoutError:
                if one not in self._running:
                    raise ShuttingDown from None
                return one.result(is_complete=False)
            finally:
                self._running.pop(one, None)

    def count(self, taken: Taken, recorded: Recorded) -> None:
        """Take note of an attempt that is on record."""
        for one in self._running:
            one.count(taken, recorded)

    def end(self) -> None:
        """End all passes, at a stop."""
        while self._running:
            self._running.popitem()[1].reschedule(0)

    def _check(self) -> None:
        if not self._ownership.tenure.has_peers:
            self._relays.check()

    async def _fan_outs_made(self) -> None:
        """Wait for deliveries that accepted events are still owed, as long as they come."""
        owed = frozenset(await self._store.fan_outs())
        end = self._clock.monotonic() + STILL_SECONDS
        while owed and self._clock.monotonic() < end:
            await self._clock.sleep(FIRST_PAUSE)
            owed &= frozenset(await self._store.fan_outs())

    async def _settled(self, one: Pass) -> None:
        heads = await self._find(one, range(PARTITIONS))
        self._wake(heads)
        pause, told = FIRST_PAUSE, self._clock.monotonic()
        while heads:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self._check()
            # What is due now in another lane was not when the pass began.
            covered = {head.subscription for head in heads}
            found = await self._find(one, sorted({head.partition for head in heads}))
            heads = [head for head in found if head.subscription in covered]
            if self._clock.monotonic() - told >= PROGRESS_SECONDS:
                told = self._clock.monotonic()
                self._tell(one, len(heads))

    async def _find(self, one: Pass, partitions: Sequence[int]) -> list[LaneHead]:
        asked = self._clock.monotonic()
        found = await self._store.find(partitions)
        covered = [head for head in found if one.covers(head, self._index, asked)]
        # What a lane's breaker or rate holds back may take hours: the pass ends without it (EC11).
        return [head for head in covered if not self._waits(one, head)]

    def _waits(self, one: Pass, head: LaneHead) -> bool:
        lanes = self._ownership.lanes
        if head.partition in lanes.epochs:
            return lanes.waits(head.subscription)
        return one.is_still(head)

    def _wake(self, heads: Sequence[LaneHead]) -> None:
        lanes, forwarded = self._ownership.lanes, 0
        for head in heads:
            if head.partition in lanes.epochs:
                lanes.note(head)
            elif forwarded < MOST_FORWARDED:
                self._ownership.announcing.woken(head.subscription)
                forwarded += 1

    def _tell(self, one: Pass, lanes: int) -> None:
        done = one.result()
        self._telemetry.fact(
            "pass.running", tenant=one.tenant or "", attempts=done.attempts, subscriptions=lanes
        )
