"""What an engine does beside sending.

The beat, the back-stop, fan-outs, retention, and disabling subscriptions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from webhooks_server.domain.errors import Unavailable
from webhooks_server.domain.ids import EventSeq, IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.disabling import Disabling
from webhooks_server.engine.ownership import Ownership
from webhooks_server.engine.retention import Retention
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, Stores, Telemetry

PAUSE_AFTER_FAULT = 0.25
OFFERED_AT_ONCE = 100
"""Of the deliveries of a fan-out, in one turn of the event loop."""


class Beats(NamedTuple):
    """Who is told that control data was confirmed, and that it is too old to go on sending."""

    confirmed: Callable[[], None]
    lost: Callable[[], None]


class Upkeep:
    """The background loops of an engine; a loop outlives every fault of the store."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        stores: Stores,
        ownership: Ownership,
        index: MatchIndex,
        clock: Clock,
        telemetry: Telemetry,
        timers: Signal,
        beats: Beats,
    ) -> None:
        """Take the collaborators, the signal that a timer moved, and whom to tell of beats."""
        self._config = config
        self._stores = stores
        self._ownership = ownership
        self._lanes = ownership.lanes
        self._index = index
        self._clock = clock
        self._telemetry = telemetry
        self._timers = timers
        self._beats = beats
        self._confirmed = clock.monotonic()
        self._pauses = index.pauses
        self._visited = 0
        self.owed = 0
        """Events whose fan-out was not finished when that was last asked."""
        self.changed = Signal(clock)
        self.fan_outs = Signal(clock)
        self.disabling = Disabling(
            disable_after=config.disable_after,
            subscriptions=stores.subscriptions,
            index=index,
            ids=IdSource(clock.wall),
            clock=clock,
            telemetry=telemetry,
            disabled=self._disabled,
        )

    @property
    def fresh(self) -> bool:
        """Whether a beat was confirmed recently enough to start a request (EB3, EC6)."""
        return self.age <= self._ownership.tenure.fresh_for

    @property
    def age(self) -> float:
        """How long ago the control data was confirmed, in seconds."""
        return self._clock.monotonic() - self._confirmed

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start all loops."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "beat": self._beat,
            "timers": self._fire_timers,
            "backstop": self._visit_partitions,
            **self._ownership.loops(),
            "fan-outs": self._fan_out,
            "disabling": self.disabling.run,
        }
        if self._config.retention is not None:
            loops["retention"] = Retention(
                self._config.retention,
                self._stores.events,
                self._lanes,
                self._clock,
                self._telemetry,
            ).run
        return [tasks.create_task(self._guard(name, loop)) for name, loop in loops.items()]

    async def load_index(self) -> None:
        """Bring the index up to date before all lanes are found."""
        await self._bring_up_to_date()
        # The lanes that have anything to do are going to be found: a look at each would cost
        # 100,000 subscriptions 100,000 reads.
        self._index.take_touched()

    async def refresh(self) -> None:
        """Beat, and apply what changed since the index's version; touched lanes are read afresh."""
        asked = self._clock.monotonic()
        beat = await self._ownership.tenure.beat()
        if beat.version is None:
            await self._bring_up_to_date()
        else:
            if self._index.version < beat.version:
                await self._bring_up_to_date()
            # Nothing that was confirmed before this beat was asked for counts (EB3).
            self._confirmed = asked
        for number in self._index.take_touched():
            self._lanes.changed(number)
        self._beats.confirmed()
        pauses = self._index.pauses
        if pauses != self._pauses:
            self._ownership.finding.ask(self._lanes.epochs)
            self._pauses = pauses
        self._ownership.discovery.learn(beat)

    async def _bring_up_to_date(self) -> None:
        while True:
            asked = self._clock.monotonic()
            changes = await self._stores.subscriptions.changes(self._index.version)
            self._index.apply(changes)
            if changes.complete:
                self._confirmed = asked
                return

    def _disabled(self) -> None:
        self.changed.set()
        # The event that tells of it is owed to those who want it.
        self.fan_outs.set()

    async def _guard(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await loop()
            except Exception as error:  # noqa: BLE001 - the loop never dies, see EA1
                self._telemetry.fault("engine.loop_failed", error, loop=name)
                if self.age > self._config.stale_after:
                    self._beats.lost()
                await self._clock.sleep(PAUSE_AFTER_FAULT)

    async def _beat(self) -> None:
        while True:
            await self.refresh()
            await self.changed.wait(self._ownership.tenure.beat_interval)

    async def _fire_timers(self) -> None:
        while True:
            moment = self._lanes.next_moment()
            wait = None if moment is None else moment - self._clock.monotonic()
            if wait is None or wait > 0:
                await self._timers.wait(wait)
            self._lanes.expire_timers()

    async def _visit_partitions(self) -> None:
        """Look at every partition in turn: a lost wake-up delays a delivery, but strands none."""
        step = self._config.backstop_partitions
        while True:
            await self._clock.sleep(self._config.backstop_interval)
            owned = sorted(self._lanes.epochs)
            if not owned:
                continue
            first = self._visited if self._visited < len(owned) else 0
            # Those that cannot be read now are left to the next round, so that the others are read.
            self._visited = first + step
            self.fan_outs.set()
            for head in await self._stores.lanes.find(owned[first : first + step]):
                self._lanes.note(head)
            if 0 in owned[first : first + step]:
                await self._stores.control.sweep()

    async def _fan_out(self) -> None:
        while True:
            # One engine for each is enough, and no two wait for the same row (EA6).
            owed = await self._stores.lanes.fan_outs()
            owing = [event for event in owed if event % PARTITIONS in self._lanes.epochs]
            self.owed = len(owing)
            finished = [await self._finish(event) for event in owing]
            self.owed -= sum(finished)
            # Where none could be finished, the back-stop asks again.
            if not any(finished):
                await self.fan_outs.wait()

    async def _finish(self, event: EventSeq) -> bool:
        """Make the deliveries that an event is still owed; one that fails holds up no other."""
        try:
            done = False
            while not done:
                asked = self._clock.monotonic()
                step = await self._stores.lanes.fan_out(event)
                self._ownership.announcing.published(step.deliveries)
                for at in range(0, len(step.deliveries), OFFERED_AT_ONCE):
                    self._lanes.offer(step.deliveries[at : at + OFFERED_AT_ONCE], crowd=True)
                    await self._clock.sleep(0)
                done = step.done
                # Others want to write too, and to be served.
                await self._clock.sleep(self._clock.monotonic() - asked)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the edge around one fan-out
            self._telemetry.fault("fan_out.failed", error, event=event)
            return False
        return True
