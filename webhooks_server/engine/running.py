"""The engine put together: it owns partitions, keeps lanes, and hands deliveries to the relay."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from webhooks_server.domain.delivery import Attempt
from webhooks_server.domain.errors import (
    RelayIsPaused,
    ShuttingDown,
    StoreUnavailable,
)
from webhooks_server.domain.event import Accepted
from webhooks_server.domain.ids import IdSource, SubscriptionNumber, TenantId
from webhooks_server.domain.lanes import EngineStatus, PassResult
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import Subscription
from webhooks_server.engine.caches import Caches, Payloads, Subscriptions
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.delivering import Delivering
from webhooks_server.engine.egress import Egress
from webhooks_server.engine.failing import FailingLanes
from webhooks_server.engine.figures import Parts, watch_engine
from webhooks_server.engine.lanes import Lanes, Taken
from webhooks_server.engine.late import LateReports
from webhooks_server.engine.learning import Learning
from webhooks_server.engine.ownership import Ownership
from webhooks_server.engine.pace import Pace
from webhooks_server.engine.passes import Passes
from webhooks_server.engine.pinging import Pinging, PingsAnywhere
from webhooks_server.engine.places import LaneEvents, bounds_for
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.refill import Refill
from webhooks_server.engine.relays import Relays
from webhooks_server.engine.senders import Senders
from webhooks_server.engine.sending import Sending
from webhooks_server.engine.signals import Signal
from webhooks_server.engine.stopping import Stopping
from webhooks_server.engine.store_watch import StoreWatch
from webhooks_server.engine.upkeep import Beats, Upkeep
from webhooks_server.ports import Clock, Relay, Stores, Telemetry


class RunningEngine:
    """An engine between its start and its stop; implements the port Engine."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        stores: Stores,
        relay: Relay | None,
        index: MatchIndex,
        clock: Clock,
        ids: IdSource,
        telemetry: Telemetry,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Put the parts together; nothing runs yet. Without a relay others have to be attached."""
        self._config, self._stores, self._index = config, stores, index
        self._clock, self._telemetry = clock, telemetry
        self._closed = self._held_back = False
        self.relays = Relays(
            relay,
            config,
            lambda lease, result: self._late.record(lease, result),  # noqa: PLW0108 - made later
            self._resize,
            clock,
            telemetry,
        )
        self._egress = Egress(clock, telemetry, self._go_on)
        self._senders = Senders(
            self.relays.slots,
            self._take,
            lambda taken: self._delivering.deliver(taken),  # noqa: PLW0108 - made later
            tasks,
        )
        hungry, timers = Signal(clock), Signal(clock)
        events = LaneEvents(ready=self._senders.wake, hungry=hungry.set, timer=timers.set)
        self._lanes = Lanes(index, clock.monotonic, events, bounds_for(config.slots, config.hosts))
        self._pace = Pace(self._lanes, self._senders.wake)
        self.ownership = Ownership(
            config=config,
            stores=stores,
            lanes=self._lanes,
            relays=self.relays,
            index=index,
            clock=clock,
            telemetry=telemetry,
        )
        self._subscriptions = Subscriptions(stores.subscriptions, index, config.user_agent)
        self._payloads = Payloads(stores.events, config.payload_cache_bytes)
        caches = Caches(self._subscriptions, self._payloads)
        self._watch = StoreWatch(
            stores.control, clock, telemetry, lambda: self._recorder.unrecorded
        )
        self._recorder = Recorder(
            stores.lanes, index, clock, telemetry, self._watch.refused, self.relays.recorded
        )
        self._passes = Passes(
            store=stores.lanes,
            ownership=self.ownership,
            relays=self.relays,
            index=index,
            clock=clock,
            telemetry=telemetry,
        )
        self._stopping = Stopping(
            config=config,
            senders=self._senders,
            lanes=self._lanes,
            recorder=self._recorder,
            tenure=self.ownership.tenure,
            clock=clock,
            telemetry=telemetry,
        )
        self._sending = Sending(
            config=config,
            relay=self.relays,
            may_send=self._may_send,
            caches=caches,
            clock=clock,
            ids=ids,
            telemetry=telemetry,
            egress=self._egress,
        )
        self._refill = Refill(
            store=stores.lanes,
            lanes=self._lanes,
            index=index,
            caches=caches,
            clock=clock,
            telemetry=telemetry,
            wanted=hungry,
        )
        self._upkeep = Upkeep(
            config=config,
            stores=stores,
            ownership=self.ownership,
            index=index,
            clock=clock,
            telemetry=telemetry,
            timers=timers,
            beats=Beats(confirmed=self._go_on, lost=self._watch.refused),
        )
        self._late = LateReports(
            engine=config.engine,
            sending=self._sending,
            recorder=self._recorder,
            subscriptions=self._subscriptions,
            deliveries=stores.deliveries,
            ownership=self.ownership,
            disable=self._upkeep.disabling.disable,
        )
        self._learning = Learning(
            self._egress, self._lanes, self._recorder, self._upkeep.disabling.disable
        )
        self._delivering = Delivering(
            sending=self._sending,
            lanes=self._lanes,
            recorder=self._recorder,
            learning=self._learning,
            disabling=self._upkeep.disabling,
            passes=self._passes,
            recorded=self._go_on,
        )
        pinging = Pinging(
            sending=self._sending,
            senders=self._senders,
            ownership=self.ownership,
            learning=self._learning,
            index=index,
            may_send=lambda tenant: self._is_fit and index.pause_of(tenant) is None,
            telemetry=telemetry,
        )
        self._pings = PingsAnywhere(pinging, self.relays, self.ownership, stores.deliveries, clock)
        self.ownership.listen(self._upkeep.changed.set, pinging.heard)
        loops = (self._recorder, self._upkeep, self._watch, self.relays)
        bound = (self._sending.budget, self.ownership.announcing, *caches)
        watch_engine(telemetry, clock, Parts(self._senders, self._lanes, *loops, *bound))
        failing = (stores.subscriptions, self._lanes.standings, index, clock, telemetry)
        self._failing = FailingLanes(*failing)

    def accepted(self, accepted: Sequence[Accepted]) -> None:
        """Take note of committed deliveries: they may be sent from now on."""
        if self._stopping.begun:
            return
        for one in accepted:
            if one.deliveries or one.fan_out:
                self._payloads.put(one.event)
            if one.fan_out:
                self._upkeep.fan_outs.set()
        made = [delivery for one in accepted for delivery in one.deliveries]
        self._lanes.offer(made)
        self.ownership.announcing.published(made)

    def changed(self) -> None:
        """Take note that subscriptions or pauses changed; the engine reads what at once."""
        self._upkeep.changed.set()

    def wake(self, subscription: SubscriptionNumber) -> None:
        """Take note that rows of a lane are due earlier than the engine knows, or final."""
        if not self._stopping.begun:
            self._lanes.wake(subscription)
            self.ownership.announcing.woken(subscription)

    def store_refused(self) -> None:
        """Take note that the store refused a write: nothing is sent until it takes them again."""
        self._watch.refused()

    def readiness(self) -> AsyncIterator[bool]:
        """Yield whether the store takes writes: now, and after each change."""
        return self._watch.readiness()

    async def send_now(self, subscription: Subscription, accepted: Accepted) -> Attempt:
        """Make the one attempt of a ping at once, outside the lane's limits.

        Returns it as recorded; raises ShuttingDown, StoreUnavailable, RelayIsPaused, NoEngine.
        """
        if self._closed:
            raise ShuttingDown
        if not (self._upkeep.fresh and self._watch.writable):
            raise StoreUnavailable
        if self._index.pause_of(subscription.tenant) is not None:
            raise RelayIsPaused(f"tenants/{subscription.tenant}")
        return await self._pings.send(subscription, accepted.event, *accepted.deliveries)

    async def notify(self, tenant: TenantId | None, within: float | None = None) -> PassResult:
        """Have everything sent that is due now and may be; returns when that is settled.

        Raises ShuttingDown, NoEngine.
        """
        await self._upkeep.refresh()
        if self._stopping.begun:
            raise ShuttingDown
        return await self._passes.run(tenant, within)

    async def ready(self) -> bool:
        """Tell whether anything can be sent: not at a stop, nor while the store is away."""
        is_old = self._upkeep.age > self._config.stale_after
        return self._watch.writable and not (is_old or self._stopping.begun)

    def status(self) -> Sequence[EngineStatus]:
        """Return who sends: the relay of this engine, if any, those attached, and other engines."""
        here = self.relays.status(self._config.engine, self._lanes.in_flight)
        return [*here, *self.ownership.tenure.others()]

    async def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Begin to beat, read the index, and start the loops; lanes are found as it goes."""
        await self.ownership.tenure.start()
        parts = (self._refill, self._recorder, self._watch, self.relays, self._failing)
        loops = [tasks.create_task(part.run()) for part in parts]
        await self._upkeep.load_index()
        return loops + self._upkeep.start(tasks)

    def stop_taking(self, grace: float) -> None:
        """Send nothing new; the stop that follows has ended `grace` seconds from now."""
        self._stopping.begin(grace)
        self._passes.end()

    async def stop(self) -> None:
        """Let what is in flight end and be recorded, and give the partitions back."""
        self.stop_taking(self._config.stop_grace)
        self._closed = True
        await self._stopping.finish()

    def _resize(self) -> None:
        self._lanes.gates.resize(self.relays.slots)
        self._senders.resize(self.relays.slots)

    @property
    def _is_fit(self) -> bool:
        """Not at a stop, on old control data (EC6), or where no result could be recorded (S6)."""
        return self._upkeep.fresh and self._watch.writable and not self._stopping.begun

    def _may_send(self, number: SubscriptionNumber, partition: int, epoch: int) -> bool:
        is_mine = self._lanes.epochs.get(partition) == epoch
        return is_mine and self._is_fit and self._index.sends(number)

    def _take(self) -> Taken | None:
        # Nor is anything sent while results pile up unrecorded (EC14).
        is_full = self._recorder.unrecorded >= 2 * self._senders.slots
        if not self._is_fit or is_full or not self._egress.admits():
            self._held_back = True
            return None
        return self._pace.take()

    def _go_on(self) -> None:
        if self._held_back:
            self._held_back = False
            self._senders.wake(self.relays.slots)
