"""The partitions that an engine owns: won, kept, given back and lost (engine.md, EB3, EC7)."""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from webhooks_server.domain.lanes import EngineStatus
from webhooks_server.domain.partitions import Beat, EngineEntry, claims_to
from webhooks_server.domain.shares import (
    FIRST_TAKE,
    RELEASE_INTERVAL,
    WITHOUT_SLOTS,
    fresh_for,
    given_back,
    picked,
)
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.finding import Finding
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.peers import Peers
from webhooks_server.engine.relays import Relays
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, EngineSession, Telemetry

BEATS_FOR_ONE_ALONE = 3
"""One beat in three is enough to notice that the store does not answer."""


def entry_of(config: EngineConfig) -> EngineEntry:
    """Return an engine as it introduces itself to its store."""
    return EngineEntry(name=config.engine, is_transient=config.transient)


class Tenure:
    """Keeps what the lanes hold the same as what the store says this engine owns."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        session: EngineSession,
        lanes: Lanes,
        relays: Relays,
        finding: Finding,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the collaborators; nothing is owned yet."""
        self._config = config
        self._session = session
        self._lanes = lanes
        self._relays = relays
        self._finding = finding
        self._clock = clock
        self._telemetry = telemetry
        self._peers = Peers(entry_of(config), config.lease)
        self._begun = clock.monotonic()
        self._latest: Beat | None = None
        self._round_trip = 0.0
        self._releasing: dict[int, int] = {}
        self._released_at = self._sent_at = self._begun
        self._turn = asyncio.Lock()
        self._changed_at = 0.0
        self.is_leaving = False
        self._beaten = Signal(clock)

    @property
    def fresh_for(self) -> float:
        """For how many seconds after the last beat was sent requests may start; 0 without one."""
        if self._session.is_exclusive:
            return self._config.stale_after
        if not self._session.is_alive:
            return 0
        return fresh_for(self._round_trip, self._config.stale_after)

    @property
    def beat_interval(self) -> float:
        """Seconds between beats: more where there is nobody whom they tell anything."""
        times = BEATS_FOR_ONE_ALONE if self._session.is_exclusive else 1
        return times * self._config.beat_interval

    async def start(self) -> None:
        """Beat once; where nobody else can be there, everything is owned at once."""
        beat = await self.beat()
        if self._session.is_exclusive:
            self._gain(await self._session.take(claims_to(range(PARTITIONS), beat)))

    async def beat(self) -> Beat:
        """Prove that this engine lives, and drop what it has lost."""
        asked = self._clock.monotonic()
        beat = await self._session.beat(self._relays.slots, self._lanes.in_flight)
        now = self._clock.monotonic()
        self._round_trip = now - asked
        is_new = self._peers.observe(beat, now)
        # What was asked before partitions changed hands knows nothing of that.
        if not (self._session.is_exclusive or self._turn.locked() or asked < self._changed_at):
            self._compare(beat)
        engines = self._peers.senders(now)
        self._lanes.gates.share(engines)
        self._relays.share(engines)
        if is_new:
            self._lanes.low_water.clear()
            self._finding.ask(self._lanes.epochs)
        self._latest = beat
        self._beaten.set()
        return beat

    async def share(self) -> None:
        """Take and give back after each beat, for ever."""
        while True:
            await self._beaten.wait()
            if self._session.is_exclusive or self.is_leaving or self._latest is None:
                continue
            await self._take(self._latest)
            self._begin_releases()
            await self._finish_releases()

    async def leave(self) -> None:
        """Give everything back, at a clean stop; nothing is taken any more."""
        self.is_leaving = True
        async with self._changing():
            await self._session.leave()
        self._releasing.clear()

    def stop_taking(self) -> None:
        """Take and give back nothing any more."""
        self.is_leaving = True

    @property
    def has_peers(self) -> bool:
        """Whether another engine lives that sends, and stays."""
        living = self._peers.living(self._clock.monotonic())
        mine = self._config.engine
        return any(one.slots and one.name != mine and not one.is_transient for one in living)

    def others(self) -> Sequence[EngineStatus]:
        """Return the other engines that live and can send, as their last beats were."""
        living = self._peers.living(self._clock.monotonic())
        return [
            EngineStatus(
                engine=one.name, in_flight=one.in_flight, last_seen_time=one.last_seen_time
            )
            for one in living
            if one.name != self._config.engine and one.slots > 0
        ]

    def sender_of(self, partition: int) -> str | None:
        """Return the other engine that owns a partition, where it lives and can send."""
        holding = None if self._latest is None else self._latest.holdings.get(partition)
        senders = {status.engine for status in self.others()}
        return holding.owner if holding is not None and holding.owner in senders else None

    def _compare(self, beat: Beat) -> None:
        if self.is_leaving:
            return
        stored = {
            partition: holding.epoch
            for partition, holding in beat.holdings.items()
            if holding.owner == self._config.engine
        }
        believed = {**self._lanes.epochs, **self._releasing}
        self._lose([one for one, epoch in believed.items() if stored.get(one) != epoch])
        # A commit whose answer was lost: it is ours all the same.
        self._gain(dict(stored.items() - believed.items()))

    async def _take(self, beat: Beat) -> None:
        now = self._clock.monotonic()
        if now - self._begun < FIRST_TAKE or not self._relays.slots:
            return
        wishes = self._wishes(now)
        if wishes:
            async with self._changing():
                if not self.is_leaving:
                    self._gain(await self._session.take(claims_to(wishes, beat)))

    def _wishes(self, now: float) -> Sequence[int]:
        peers, start = self._peers, zlib.crc32(self._config.engine.encode()) % PARTITIONS
        owned = len(self._lanes.epochs) + len(self._releasing)
        free = picked(peers.free(now), peers.share - owned, start, PARTITIONS)
        left = picked(peers.orphans(now), peers.share_of_orphans(now) - owned, start, PARTITIONS)
        return max(free, left, key=len)

    def _begin_releases(self) -> None:
        now = self._clock.monotonic()
        if self._relays.slots:
            self._sent_at = now
        if now - self._sent_at >= WITHOUT_SLOTS:
            # Nobody sends for them as long as they are here.
            chosen: Collection[int] = list(self._lanes.epochs)
        elif (
            not self._peers.is_calm(now)
            or now - self._released_at < RELEASE_INTERVAL
            or len(self._lanes.epochs) <= self._peers.share
        ):
            return
        else:
            lanes = Counter(lane.partition for lane in self._lanes)
            owned = {partition: lanes[partition] for partition in self._lanes.epochs}
            chosen = given_back(owned, self._peers.share)
        if chosen:
            self._released_at = now
            self._releasing |= {one: self._lanes.epochs[one] for one in chosen}
            self._lanes.lose(chosen)

    async def _finish_releases(self) -> None:
        """Free the epochs of partitions whose requests have ended, and are on record."""
        if not self._releasing:
            return
        busy = {lane.partition for lane in self._lanes if len(lane.out) > lane.stuck}
        done = {one: epoch for one, epoch in self._releasing.items() if one not in busy}
        if done:
            async with self._changing():
                await self._session.release(done)
                self._releasing = dict(self._releasing.items() - done.items())
            self._telemetry.fact("partitions.released", count=len(done), partitions=self._owned)

    def _gain(self, epochs: Mapping[int, int]) -> None:
        if epochs:
            self._lanes.gain(epochs)
            self._finding.ask(epochs, gained=not self._session.is_exclusive)
            if not self._session.is_exclusive:
                self._telemetry.fact("partitions.taken", count=len(epochs), partitions=self._owned)

    def _lose(self, partitions: Collection[int]) -> None:
        if partitions:
            for one in partitions:
                self._releasing.pop(one, None)
            self._lanes.lose(partitions)
            self._telemetry.fact("partitions.lost", count=len(partitions), partitions=self._owned)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        async with self._turn:
            try:
                yield
            finally:
                self._changed_at = self._clock.monotonic()

    @property
    def _owned(self) -> int:
        return len(self._lanes.epochs)
