"""The engine put together: it owns partitions, keeps lanes, and hands deliveries to the relay."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from webhooks_server.domain.delivery import Attempt
from webhooks_server.domain.errors import RelayIsPaused, ShuttingDown, StoreUnavailable
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
from webhooks_server.engine.fitness import Fitness
from webhooks_server.engine.lanes import Lanes
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
        self._closed = False
        self.relays = Relays(
            relay,
            config,
            lambda lease, result: self._late.record(lease, result),  # noqa: PLW0108 - made later
            self._resize,
            clock,
            telemetry,
        )
        self._egress = Egress(clock, telemetry, lambda: self._fitness.go_on())  # noqa: PLW0108
        self._senders = Senders(
            self.relays.slots,
            lambda: self._fitness.take(),  # noqa: PLW0108 - made later
            lambda taken: self._delivering.deliver(taken),  # noqa: PLW0108 - made later
            tasks,
        )
        self._hungry, self._timers = Signal(clock), Signal(clock)
        events = LaneEvents(
            ready=self._senders.wake, hungry=self._hungry.set, timer=self._timers.set
        )
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
        self._put_reading_together()
        self._put_sending_together(ids)
        self._put_upkeep_together()
        self._put_answers_together()

    def _put_reading_together(self) -> None:
        stores, index, config = self._stores, self._index, self._config
        clock, telemetry = self._clock, self._telemetry
        self._subscriptions = Subscriptions(stores.subscriptions, index, config.user_agent)
        self._payloads = Payloads(stores.events, config.payload_cache_bytes)
        self._caches = Caches(self._subscriptions, self._payloads)
        self._watch = StoreWatch(
            stores.control, clock, telemetry, lambda: self._recorder.unrecorded
        )
        self._recorder = Recorder(
            stores.lanes, index, clock, telemetry, self._watch.refused, self.relays.recorded
        )
        self._refill = Refill(
            store=stores.lanes,
            lanes=self._lanes,
            index=index,
            caches=self._caches,
            clock=clock,
            telemetry=telemetry,
            wanted=self._hungry,
        )

    def _put_sending_together(self, ids: IdSource) -> None:
        config, clock, telemetry = self._config, self._clock, self._telemetry
        self._fitness = Fitness(
            is_fit=self._is_fit,
            index=self._index,
            lanes=self._lanes,
            pace=self._pace,
            senders=self._senders,
            recorder=self._recorder,
            egress=self._egress,
        )
        self._sending = Sending(
            config=config,
            relay=self.relays,
            may_send=self._fitness.may_send,
            caches=self._caches,
            clock=clock,
            ids=ids,
            telemetry=telemetry,
            egress=self._egress,
        )
        self._passes = Passes(
            store=self._stores.lanes,
            ownership=self.ownership,
            relays=self.relays,
            index=self._index,
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

    def _put_upkeep_together(self) -> None:
        self._upkeep = Upkeep(
            config=self._config,
            stores=self._stores,
            ownership=self.ownership,
            index=self._index,
            clock=self._clock,
            telemetry=self._telemetry,
            timers=self._timers,
            beats=Beats(confirmed=self._fitness.go_on, lost=self._watch.refused),
        )
        failing = (self._stores.subscriptions, self._lanes.standings, self._index)
        self._failing = FailingLanes(*failing, self._clock, self._telemetry)

    def _put_answers_together(self) -> None:
        self._late = LateReports(
            engine=self._config.engine,
            sending=self._sending,
            recorder=self._recorder,
            subscriptions=self._subscriptions,
            deliveries=self._stores.deliveries,
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
            recorded=self._fitness.go_on,
        )
        pinging = Pinging(
            sending=self._sending,
            senders=self._senders,
            ownership=self.ownership,
            learning=self._learning,
            index=self._index,
            may_send=self._fitness.may_ping,
            telemetry=self._telemetry,
        )
        self._pings = PingsAnywhere(
            pinging, self.relays, self.ownership, self._stores.deliveries, self._clock
        )
        self.ownership.listen(self._upkeep.changed.set, pinging.heard)
        loops = (self._recorder, self._upkeep, self._watch, self.relays)
        bound = (self._sending.budget, self.ownership.announcing, *self._caches)
        parts = Parts(self._senders, self._lanes, *loops, *bound)
        watch_engine(self._telemetry, self._clock, parts)

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

    def _is_fit(self) -> bool:
        """Not at a stop, on old control data (EC6), or where no result could be recorded (S6)."""
        return self._upkeep.fresh and self._watch.writable and not self._stopping.begun
