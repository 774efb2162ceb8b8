"""What an engine needs to share a store with others, put together."""

from collections.abc import Awaitable, Callable, Mapping

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.partitions import Heard
from webhooks_server.engine.announcing import Announcing
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.discovery import Discovery
from webhooks_server.engine.finding import Finding
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.relays import Relays
from webhooks_server.engine.tenure import Tenure, entry_of
from webhooks_server.ports import Clock, Stores, Telemetry


class Ownership:
    """Which partitions are this engine's, what lanes they have, and what is new in them."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        stores: Stores,
        lanes: Lanes,
        relays: Relays,
        index: MatchIndex,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Put the parts together; nothing runs yet. `relays` are those that send for it."""
        self.lanes = lanes
        self._relays = relays
        self._session = stores.leases.session(entry_of(config))
        self.finding = Finding(stores.lanes, lanes, clock)
        self.tenure = Tenure(
            config=config,
            session=self._session,
            lanes=lanes,
            relays=relays,
            finding=self.finding,
            clock=clock,
            telemetry=telemetry,
        )
        self.discovery = Discovery(self._session, lanes, clock)
        self.announcing = Announcing(stores.leases, lanes, index, clock)

    def listen(
        self,
        lost: Callable[[], None],
        pinged: Callable[[NewDelivery], None],
    ) -> None:
        """Do what others announce: `pinged` is called with pings, and `lost` with the session."""

        def hear(heard: Heard) -> None:
            # What is in flight ends in its time, also at a stop.
            for report in heard.reports:
                self._relays.reported_elsewhere(report)
                self.lanes.reread(report.subscription)
            if not self.tenure.is_leaving:
                self._hear(heard)
                for ping in heard.pings:
                    pinged(ping)

        self._session.listen(hear, lost)

    def loops(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return all loops by their names."""
        return {
            "finding": self.finding.run,
            "discovery": self.discovery.run,
            "shares": self.tenure.share,
            "announcing": self.announcing.run,
        }

    async def aclose(self) -> None:
        """End the session."""
        await self._session.close()

    def _hear(self, heard: Heard) -> None:
        for subscription in heard.subscriptions:
            self.lanes.wake(subscription)
        if not heard.partitions.isdisjoint(self.lanes.epochs):
            self.discovery.hear()
