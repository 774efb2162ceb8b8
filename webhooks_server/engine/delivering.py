"""One delivery on its way: from its lane to the relay, and from the relay on record."""

from collections.abc import Callable

from webhooks_server.domain.delivery import Recorded, Trigger
from webhooks_server.domain.errors import AddressIsBusy
from webhooks_server.engine.disabling import Disabling
from webhooks_server.engine.lanes import Lanes, Taken
from webhooks_server.engine.learning import Learning
from webhooks_server.engine.passes import Passes
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.sending import PAUSE_OF_BUSY, Sending


class Delivering:
    """What a sender does with a delivery that it has taken."""

    def __init__(
        self,
        *,
        sending: Sending,
        lanes: Lanes,
        recorder: Recorder,
        learning: Learning,
        disabling: Disabling,
        passes: Passes,
        recorded: Callable[[], None],
    ) -> None:
        """Take the collaborators, and whom to tell of each attempt that is on record."""
        self._sending = sending
        self._lanes = lanes
        self._recorder = recorder
        self._learning = learning
        self._disabling = disabling
        self._passes = passes
        self._tell = recorded

    async def deliver(self, taken: Taken) -> None:
        """Send a delivery, and hand what came of it to the recorder; or put it back unsent."""
        lane, row = taken
        epoch = self._lanes.epochs.get(lane.partition, 0)
        try:
            proven = lane.health.proven
            sent = await self._sending.attempt(row, lane.partition, epoch, proven=proven)
        except AddressIsBusy:
            self._lanes.put_back(taken, PAUSE_OF_BUSY)
            return
        if sent is None:
            self._lanes.put_back(taken)
            return
        self._learning.learn(lane.number, sent)
        self._recorder.submit(
            sent.record,
            lambda answer: self._recorded(taken, answer),
            lambda: self._lanes.refused(taken),
            counted=not sent.is_on_record,
        )
        # The ping of a new subscription changes nothing (api.md 1.4).
        if sent.disable is not None and row.delivery.trigger is not Trigger.PING:
            self._disabling.disable(lane.number, sent.disable)

    def _recorded(self, taken: Taken, recorded: Recorded) -> None:
        self._lanes.recorded(taken, recorded)
        self._disabling.bear(taken.lane.number, recorded.failures)
        self._passes.count(taken, recorded)
        self._tell()
