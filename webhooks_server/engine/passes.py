"""A relay pass: everything that is due now, sent and settled.

The seed's NotifySubscribers() (EC11).
"""

from collections.abc import Iterable

from webhooks_server.domain.delivery import DeliveryState, Recorded
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.lanes import LaneHead, PassResult
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.lane import Row
from webhooks_server.engine.lanes import Lanes, Taken
from webhooks_server.ports import Clock, LaneStore

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class Pass:
    """One pass: it covers what was due when it began, in lanes that may send."""

    def __init__(self, tenant: TenantId | None, clock: Clock) -> None:
        """Begin now; with a tenant, for its deliveries alone."""
        self._tenant = tenant
        self._clock = clock
        self._begun = clock.monotonic()
        self._attempts = 0
        self._states: dict[DeliveryState, int] = {}

    def count(self, taken: Taken, recorded: Recorded) -> None:
        """Count an attempt that was recorded while the pass runs, where the pass covers it."""
        if self._covers_row(taken.row) and self._tenant in (None, taken.lane.tenant):
            self._attempts += 1
            self._states[recorded.state] = self._states.get(recorded.state, 0) + 1

    async def run(self, store: LaneStore, lanes: Lanes, index: MatchIndex) -> PassResult:
        """Wake what is due, and return once none of it is left."""
        heads = await self._find(store, lanes.epochs, lanes, index)
        for head in heads:
            lanes.note(head)
        pause = FIRST_PAUSE
        while heads:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            # What is due now in another lane was not when the pass began.
            covered = {head.subscription for head in heads}
            found = await self._find(store, {head.partition for head in heads}, lanes, index)
            heads = [head for head in found if head.subscription in covered]
        return self._result()

    async def _find(
        self, store: LaneStore, partitions: Iterable[int], lanes: Lanes, index: MatchIndex
    ) -> list[LaneHead]:
        since = self._clock.monotonic() - self._begun
        found = await store.find(sorted(partitions))
        # What a lane's breaker or rate holds back may take hours: the pass ends without it (EC11).
        return [
            head
            for head in found
            if self._covers(head, since, index) and not lanes.waits(head.subscription)
        ]

    def _covers(self, head: LaneHead, since: float, index: MatchIndex) -> bool:
        entry = index.get(head.subscription)
        if entry is None or not index.sends(head.subscription):
            return False
        return self._tenant in (None, entry.tenant) and head.due_in + since * 1_000_000 <= 0

    def _covers_row(self, row: Row) -> bool:
        return row.due_at <= self._begun

    def _result(self) -> PassResult:
        return PassResult(
            attempts=self._attempts,
            succeeded=self._states.get(DeliveryState.SUCCEEDED, 0),
            retrying=self._states.get(DeliveryState.PENDING, 0),
            failed=self._states.get(DeliveryState.FAILED, 0),
        )
