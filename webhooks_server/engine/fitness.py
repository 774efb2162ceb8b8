"""Whether anything may be sent now, and going on once it may again."""

from collections.abc import Callable

from webhooks_server.domain.ids import SubscriptionNumber, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.egress import Egress
from webhooks_server.engine.lanes import Lanes, Taken
from webhooks_server.engine.pace import Pace
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.senders import Senders


class Fitness:
    """Stands between the senders and the lanes."""

    def __init__(
        self,
        *,
        is_fit: Callable[[], bool],
        index: MatchIndex,
        lanes: Lanes,
        pace: Pace,
        senders: Senders,
        recorder: Recorder,
        egress: Egress,
    ) -> None:
        """Take whom to ask; `is_fit` tells whether the engine as a whole may send."""
        self._is_fit = is_fit
        self._index = index
        self._lanes = lanes
        self._pace = pace
        self._senders = senders
        self._recorder = recorder
        self._egress = egress
        self._held_back = False

    def take(self) -> Taken | None:
        """Return what to send next; None where there is nothing, or it may not be sent."""
        # Nor is anything sent while results pile up unrecorded (EC14).
        is_full = self._recorder.unrecorded >= 2 * self._senders.slots
        if is_full or not self._is_fit() or not self._egress.admits():
            self._held_back = True
            return None
        return self._pace.take()

    def go_on(self) -> None:
        """Wake the senders, where they were held back since the last time."""
        if self._held_back:
            self._held_back = False
            self._senders.wake(self._senders.slots)

    def may_send(self, number: SubscriptionNumber, partition: int, epoch: int) -> bool:
        """Tell whether a delivery of this subscription, taken in this epoch, may still leave."""
        is_mine = self._lanes.epochs.get(partition) == epoch
        return is_mine and self._is_fit() and self._index.sends(number)

    def may_ping(self, tenant: TenantId) -> bool:
        """Tell whether pings of this tenant may leave."""
        return self._is_fit() and self._index.pause_of(tenant) is None
