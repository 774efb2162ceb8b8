"""What lanes share and is bounded: requests in flight, and requests in a time.

A lane stands before all its gates at once. One that is not let through is parked at the gate that
is shut, and comes back to the ring of lanes when that opens: nobody looks at it meanwhile.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from webhooks_server.domain.breaker import Standing
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.rates import Rate, per_minute, shared
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.lane import Gate, Lane
from webhooks_server.engine.timers import Timers

SECONDS_PER_MINUTE = 60
LONG_WAIT = 0.1
"""Rows of a lane that waits longer for its gate make room for others: they are read again."""
MOST_UNUSED = 1024


class HostCaps(NamedTuple):
    """What all lanes to one target host may do together in this engine; 0 is no bound."""

    in_flight: int = 0
    requests_per_second: int = 0


NO_CAPS = HostCaps()


class Gates:
    """All gates: those of the classes of lanes, of target hosts, and of lanes with a rate."""

    def __init__(
        self,
        slots: int,
        caps: HostCaps,
        monotonic: Callable[[], float],
        freed: Callable[[Lane], bool],
        timer: Callable[[], None],
    ) -> None:
        """Take the slots, the bounds of hosts, and whom to call.

        `freed` puts a lane whose gate opened back, and tells whether it still wants through.
        """
        self._all_caps = self._caps = caps
        self.engines = 1
        self._monotonic = monotonic
        self._freed = freed
        self._tell_timer = timer
        # Every bucket is as if it was empty when the tenure began: moving doubles no rate (EC7).
        self._begun = monotonic()
        self._begun_at: dict[int, float] = {}
        self.failing, self.doubtful, self.crowd = Gate(), Gate(), Gate()
        self._named: dict[str | SubscriptionNumber, Gate] = {}
        self._sweep_at = MOST_UNUSED
        self.timers: Timers[Gate] = Timers()
        self.resize(slots)

    def resize(self, slots: int) -> None:
        """Share so many slots from now on: hard caps, so that nobody has to give one back (EC9)."""
        self.failing.most = max(1, slots // 4)
        self.doubtful.most = max(1, 3 * slots // 4)
        # Nobody is parked at it: crowds are counted by request, since lanes come and go in them.
        self.crowd.most = max(1, slots // 2)
        for gate in (self.failing, self.doubtful):
            self._wake(gate)

    def share(self, engines: int) -> None:
        """Keep to the share of one of so many engines in what hosts may get (EC10)."""
        if engines == self.engines:
            return
        self.engines = engines
        most = shared(self._all_caps.in_flight, engines)
        self._caps = self._all_caps._replace(in_flight=most)
        for name, gate in self._named.items():
            if isinstance(name, str):
                gate.most, gate.rate = most, self._host_rate()
                self._wake(gate)

    def of(self, entry: IndexEntry, standing: Standing) -> tuple[Gate, ...]:
        """Return the gates of a lane; none where nothing but its own bound holds it."""
        gates: list[Gate] = []
        if standing is not Standing.PROVEN:
            gates.append(self.doubtful)
        if standing is Standing.FAILING:
            gates.append(self.failing)
        if entry.host and any(self._caps):
            gate = self._gate(entry.host, self._caps.in_flight, self._host_rate(), self._begun)
            gates.append(gate)
        if entry.max_requests_per_minute:
            rate = per_minute(entry.max_requests_per_minute)
            begun = self._begun_at.get(entry.partition, self._begun)
            gates.append(self._gate(entry.number, 0, rate, begun))
        return tuple(gates)

    @property
    def count(self) -> int:
        """How many hosts and lanes have a gate of their own."""
        return len(self._named)

    @property
    def numbers(self) -> list[SubscriptionNumber]:
        """The lanes that have a gate of their own."""
        return [name for name in self._named if not isinstance(name, str)]

    def begin(self, partitions: Iterable[int], numbers: Iterable[SubscriptionNumber]) -> None:
        """Let the buckets of lanes be empty: others may have emptied them a moment ago (EC7).

        `numbers` are those of `partitions` that have one already.
        """
        now = self._monotonic()
        self._begun_at |= dict.fromkeys(partitions, now)
        for number in numbers:
            gate = self._named[number]
            if gate.rate is not None:
                gate.full_at = max(gate.full_at, gate.rate.full_after(now))

    def equip(self, lane: Lane, gates: tuple[Gate, ...]) -> None:
        """Let a lane, and what it has in flight, stand for these gates from now on."""
        if gates == lane.gates:
            return
        before, lane.gates = lane.gates, gates
        for gate in gates:
            gate.holders += 1
            gate.in_flight += lane.sent
        for gate in before:
            gate.holders -= 1
            gate.in_flight -= lane.sent
            self._wake(gate)

    def admit(self, lane: Lane) -> bool:
        """Let one request of a lane through; else park the lane, and tell that nothing may start.

        A lane that has to wait long, or for a host, is to give up its rows: `lane.waiting`.
        """
        now = self._monotonic()
        for gate in lane.gates:
            if not gate.admits(now):
                gate.parked.add(lane)
                wait = self._arm(gate, now)
                lane.waiting = gate.named and not 0 < wait <= LONG_WAIT
                # The room that the lane does not use in its other gates is somebody else's.
                self.pass_on(lane, but=gate)
                return False
        for gate in lane.gates:
            gate.enter(now)
            if gate.parked:
                self._wake(gate)
        return True

    def leave(self, lane: Lane) -> None:
        """Take note that a request of a lane is on record, or was not made at all."""
        for gate in lane.gates:
            gate.in_flight -= 1
            self._wake(gate)

    def give_back(self, lane: Lane) -> None:
        """Undo what a request that was not made took of the rates."""
        for gate in lane.gates:
            gate.give_back()

    def pass_on(self, lane: Lane, but: Gate | None = None) -> None:
        """Let others through in the place of a lane that was given way and does not use it."""
        for gate in lane.gates:
            if gate is not but:
                self._wake(gate)

    def is_shut(self, number: SubscriptionNumber) -> bool:
        """Tell whether a lane has spent its own rate."""
        gate = self._named.get(number)
        return gate is not None and not gate.admits(self._monotonic())

    def expire_timers(self) -> None:
        """Look at the gates whose moment has come."""
        for gate in self.timers.expired(self._monotonic()):
            self._wake(gate)

    def clear(self) -> None:
        """Let no gate wait for a moment any more."""
        self.timers.clear()

    def _host_rate(self) -> Rate | None:
        requests = self._caps.requests_per_second * SECONDS_PER_MINUTE
        return per_minute(shared(requests, self.engines)) if requests else None

    def _gate(
        self, name: str | SubscriptionNumber, most: int, rate: Rate | None, begun: float
    ) -> Gate:
        gate = self._named.get(name)
        if gate is None:
            self._sweep()
            gate = self._named[name] = Gate(named=True)
            gate.full_at = rate.full_after(begun) if rate else 0.0
        gate.most, gate.rate = most, rate
        return gate

    def _sweep(self) -> None:
        """Forget the gates that are as good as new, now and then."""
        if len(self._named) < self._sweep_at:
            return
        now = self._monotonic()
        self._named = {
            name: gate
            for name, gate in self._named.items()
            if gate.holders or gate.in_flight or gate.full_at > now
        }
        self._sweep_at = 2 * len(self._named) + MOST_UNUSED

    def _wake(self, gate: Gate) -> None:
        """Give way to the next that is parked at a gate, where it is open."""
        while gate.parked:
            now = self._monotonic()
            if not gate.admits(now):
                self._arm(gate, now)
                return
            lane = gate.parked.pop()
            if lane is not None and gate in lane.gates and self._freed(lane):
                return

    def _arm(self, gate: Gate, now: float) -> float:
        """Look at a gate again when its rate allows; returns how long that is, 0 where it does."""
        wait = gate.free_at() - now
        if wait <= 0:
            return 0.0
        if self.timers.arm(gate, now + wait):
            self._tell_timer()
        return wait
