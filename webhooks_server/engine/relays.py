"""Who sends: the relay in this process, if there is one, and those that are attached (EB5)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from webhooks_server.domain.delivery import Recorded
from webhooks_server.domain.errors import (
    NoEngine,
    NotSent,
    RecordRefused,
    ServerOverloaded,
    ShuttingDown,
    StoreUnavailable,
)
from webhooks_server.domain.lanes import EngineStatus
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.partitions import Reported
from webhooks_server.engine.attached import AttachedRelay, Held
from webhooks_server.engine.config import EngineConfig
from webhooks_server.ports import Clock, Relay, Telemetry

MAX_ATTACHED = 100
LEASE_SECONDS = 45.0
LONGEST_LEASE_SECONDS = 120.0
TICK_SECONDS = 0.25
RECORD_SECONDS = 20.0

Late = Callable[[Lease, SendResult], Awaitable[Recorded]]


class Relays:
    """Spreads requests over relays by their free slots; implements ports.Relay.

    A result that is reported is acknowledged once it is on record, which the engine tells by
    recorded(). What is reported and nobody here waits for goes to `late`.
    """

    def __init__(
        self,
        local: Relay | None,
        config: EngineConfig,
        late: Late,
        resized: Callable[[], None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """Take the collaborators, and whom to tell that `slots` is another number now."""
        self._local = local
        self._config = config
        self._local_slots = config.slots if local is not None and config.sends else 0
        self._borrowers = 0
        self._local_busy = 0
        self._late = late
        self._resized = resized
        self._clock = clock
        self._telemetry = telemetry
        self._attached: list[AttachedRelay] = []
        self._held: dict[bytes, tuple[AttachedRelay, Held]] = {}
        self._recording: dict[bytes, asyncio.Future[Recorded]] = {}
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def slots(self) -> int:
        """How many requests may be with relays at once."""
        return self._local_slots + sum(relay.slots for relay in self._attached)

    @property
    def attached(self) -> int:
        """How many relays of other processes are attached."""
        return len(self._attached)

    @property
    def held(self) -> int:
        """How many requests are in the hands of relays of other processes."""
        return len(self._held)

    @property
    def can_send(self) -> bool:
        """Whether there is anybody who could send."""
        return bool(self._local_slots) or any(relay.slots for relay in self._attached)

    def check(self) -> None:
        """Raise NoEngine where there is nobody who could send."""
        if not self.can_send:
            raise NoEngine("relays")

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let the relay in this process send for a while where it does not anyway."""
        if self._local is None or self._config.sends:
            yield
            return
        self._borrowers += 1
        self._lend(self._config.slots)
        try:
            yield
        finally:
            self._borrowers -= 1
            self._lend(self._config.slots if self._borrowers else 0)

    def _lend(self, slots: int) -> None:
        if slots != self._local_slots:
            self._local_slots = slots
            self._resized()

    async def send(self, request: OutboundRequest) -> SendResult:
        """Have a request sent by who has the most room; raises NotSent where it was not."""
        relay = max(self._attached, key=lambda one: one.free, default=None)
        local_free = self._local_slots - self._local_busy
        is_free = relay is None or relay.free <= local_free
        if self._local is not None and self._local_slots and is_free:
            self._local_busy += 1
            try:
                return await self._local.send(request)
            finally:
                self._local_busy -= 1
        if relay is None or relay.slots <= 0:
            raise NotSent
        return await self._send_away(relay, request)

    def share(self, engines: int) -> None:
        """Keep to the share of one of so many engines in what addresses may get (EC10)."""
        if self._local is not None:
            self._local.share(engines)

    async def _send_away(self, relay: AttachedRelay, request: OutboundRequest) -> SendResult:
        if request.lease is None:
            raise NotSent
        token = request.lease.token
        held = Held(request.lease, request, self._clock.monotonic(), self._clock.wall())
        held.prolong(LEASE_SECONDS, self._clock)
        self._held[token] = (relay, held)
        relay.give(held)
        try:
            return await held.future
        finally:
            del self._held[token]
            relay.drop(held)
            self._tell_changed()

    def attach(self, name: str, slots: int) -> AttachedRelay:
        """Take a relay on; raises ShuttingDown, ServerOverloaded."""
        if self._closed:
            raise ShuttingDown
        if len(self._attached) >= MAX_ATTACHED:
            raise ServerOverloaded
        relay = AttachedRelay(name, slots, self._clock.wall())
        self._attached.append(relay)
        self._resized()
        self._telemetry.fact("relay.attached", relay=name, slots=slots)
        return relay

    def resize(self, relay: AttachedRelay, slots: int) -> None:
        """Let a relay hold so many from now on; with 0 nothing more is on its way to it."""
        relay.slots = 0 if relay.is_leaving else slots
        if not relay.slots:
            relay.give_back_waiting()
        self._resized()

    def retire(self, relay: AttachedRelay) -> None:
        """Give a relay nothing more for good; it may go once it holds nothing."""
        relay.is_leaving = True
        self.resize(relay, 0)
        self._tell_changed()

    def detach(self, relay: AttachedRelay) -> None:
        """End a relay and all its leases."""
        self._attached.remove(relay)
        relay.slots = 0
        lost = relay.lose(self._clock.monotonic())
        self._resized()
        self._telemetry.fact("relay.detached", relay=relay.name, abandoned=lost, slots=self.slots)

    def leave_leases(self, relay: AttachedRelay) -> None:
        """Give a relay nothing more; what it holds it may still report (LeaseDeliveries)."""
        self._attached.remove(relay)
        relay.slots = 0
        relay.give_back_waiting()
        self._resized()

    async def report(self, lease: Lease, result: SendResult) -> Recorded:
        """Record what came of a request, whoever leased it.

        Repeated, it changes nothing. Raises RecordRefused where the store takes nothing of it, and
        StoreUnavailable where that takes too long: then it may be on record later.
        """
        recording = self._recording.get(lease.token)
        if recording is None:
            found = self._held.get(lease.token)
            if found is None or found[1].future.done():
                return await self._late(lease, result)
            recording = asyncio.get_running_loop().create_future()
            self._recording[lease.token] = recording
            found[1].settle(result)
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                # Whoever goes away must not take the answer away from others that wait for it.
                return await asyncio.shield(recording)
        except TimeoutError:
            raise StoreUnavailable from None

    def recorded(self, token: bytes, recorded: Recorded | None) -> None:
        """Take note that an attempt is on record, or with None that the store refused it."""
        recording = self._recording.pop(token, None)
        if recording is None or recording.done():
            return
        if recorded is not None:
            recording.set_result(recorded)
        else:
            recording.set_exception(RecordRefused())

    def reported_elsewhere(self, report: Reported) -> None:
        """Take note that another process has put on record what came of a request (EB5)."""
        found = self._held.get(report.token)
        if found is not None:
            relay, held = found
            held.settle_elsewhere(report, relay.name, self._clock.monotonic())

    def extend(self, tokens: Iterable[bytes], span: float = LEASE_SECONDS) -> list[bytes]:
        """Let leases run for so many seconds from now; returns those that are lost."""
        lost: list[bytes] = []
        for token in tokens:
            found = self._held.get(token)
            if found is None:
                lost.append(token)
            else:
                found[1].prolong(span, self._clock)
        return lost

    def release(self, tokens: Iterable[bytes]) -> None:
        """Take requests back of which nothing was sent."""
        for token in tokens:
            found = self._held.get(token)
            if found is not None:
                found[1].give_back()

    def status(self, engine: str, in_flight: int) -> Sequence[EngineStatus]:
        """Return who sends, and what each holds; the relay in this process as the engine."""
        attached = [
            EngineStatus(
                engine=relay.name, in_flight=len(relay.held), last_seen_time=relay.last_seen_time
            )
            for relay in self._attached
        ]
        if not self._local_slots:
            return attached
        here = EngineStatus(
            engine=engine,
            in_flight=max(0, in_flight - sum(one.in_flight for one in attached)),
            last_seen_time=self._clock.wall(),
        )
        return [here, *attached]

    def seen(self, relay: AttachedRelay) -> None:
        """Take note that a relay said something."""
        relay.last_seen_time = self._clock.wall()

    def close(self) -> None:
        """Take nobody on any more; those that hold nothing may go.

        What was leased without a stream is given up: who knows whether anybody will report it.
        """
        self._closed = True
        now = self._clock.monotonic()
        for relay, held in list(self._held.values()):
            if relay not in self._attached:
                held.abandon(relay.name, now)
        self._tell_changed()

    async def dismissed(self, relay: AttachedRelay) -> None:
        """Return when a relay is not needed any more, and holds nothing."""
        while not (self._closed or relay.is_leaving) or relay.held:
            changed = self._changed
            await changed.wait()

    async def run(self) -> None:
        """End leases that have run out, for ever."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            for relay, held in list(self._held.values()):
                if held.deadline <= now and not held.future.done():
                    held.abandon(relay.name, now)
                    self._telemetry.fact("lease.expired", relay=relay.name)

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
