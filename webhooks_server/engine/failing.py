"""Keeping on record which lanes fail, so that a restart does not begin with all of them (EC9)."""

from webhooks_server.domain.errors import Unavailable
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.standings import Standings
from webhooks_server.ports import Clock, SubscriptionStore, Telemetry

SECONDS_BETWEEN = 1.0
"""A lane is written down at most once in this time, however often it changes."""


class FailingLanes:
    """The loop that writes down what changed, all lanes together."""

    def __init__(
        self,
        store: SubscriptionStore,
        standings: Standings,
        index: MatchIndex,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the collaborators."""
        self._store = store
        self._standings = standings
        self._index = index
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """Write down what changed, for ever; nothing is lost where the store is away."""
        while True:
            await self._clock.sleep(SECONDS_BETWEEN)
            if changed := self._standings.take_unsaved():
                try:
                    await self._store.note_failing(changed)
                except Unavailable:
                    # That it is away, others tell: they have more to lose.
                    self._standings.put_back(changed)
                except Exception as error:  # noqa: BLE001 - the loop never dies, see EA1
                    self._telemetry.fault("lanes.not_noted", error)
                else:
                    for one in changed:
                        self._tell(one)

    def _tell(self, lane: LaneFailing) -> None:
        entry = self._index.get(lane.subscription)
        if entry is None or (lane.level and not lane.open_for):
            return
        self._telemetry.fact(
            "breaker.opened" if lane.level else "breaker.closed",
            tenant=entry.tenant,
            subscription=entry.id,
            seconds=lane.open_for // 1_000_000,
        )
