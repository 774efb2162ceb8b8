"""What an attempt teaches of its receiver, and of the way out of this host."""

from collections.abc import Callable

from webhooks_server.domain.delivery import Recorded
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.subscription import DisableReason
from webhooks_server.engine.egress import Egress
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.sending import Sent


class Learning:
    """Takes note of attempts, of lanes and of pings alike."""

    def __init__(
        self,
        egress: Egress,
        lanes: Lanes,
        recorder: Recorder,
        disable: Callable[[SubscriptionNumber, DisableReason], None],
    ) -> None:
        """Take who must know, and what disables a subscription."""
        self._egress = egress
        self._lanes = lanes
        self._recorder = recorder
        self._disable = disable

    def learn(self, number: SubscriptionNumber, sent: Sent) -> None:
        """Take note of an attempt."""
        if sent.is_local:
            self._egress.failed(proven=self._lanes.standings.is_proven(number))
        elif sent.sign is not None:
            self._egress.reached()
        if sent.sign is not None:
            self._lanes.judge(number, sent.sign)

    async def record_ping(self, number: SubscriptionNumber, sent: Sent) -> Recorded:
        """Take note of a ping, and put it on record."""
        self.learn(number, sent)
        recorded = await self._recorder.record(sent.record, counted=not sent.is_on_record)
        if sent.disable is not None:
            self._disable(number, sent.disable)
        return recorded
