"""A lane: one subscription's pending deliveries, as far as they are in memory; and its gates."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

from webhooks_server.domain.breaker import UNKNOWN, Health, Standing
from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber
from webhooks_server.domain.rates import Rate
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.ring import Ring

_NUMBERS = count()


class Row:
    """A pending delivery in memory, its spans turned into moments of the monotonic clock."""

    __slots__ = ("created_at", "crowd", "delivery", "due_at")

    def __init__(self, delivery: NewDelivery, now: float, asked_at: float) -> None:
        """Take a row as the store told it between `asked_at` and `now`.

        It is due at `due_at` or a little later, and was created at `created_at` or a little before.
        Once it is taken, `crowd` says whether it was in the turn of a crowd.
        """
        self.crowd = False
        self.delivery = delivery
        self.due_at = asked_at + delivery.due_in / 1_000_000
        self.created_at = now - delivery.age / 1_000_000


class Gate:
    """So many requests in flight, and so many in a time, as far as it bounds either.

    `in_flight` are those of the lanes that stand before it, `holders` how many lanes that are, and
    `parked` those of them that wait until it opens. A gate that is `named` is that of a host, or of
    a single lane.
    """

    __slots__ = ("_number", "full_at", "holders", "in_flight", "most", "named", "parked", "rate")

    def __init__(self, most: int = 0, *, named: bool = False) -> None:
        """Take how many requests may be in flight; 0 is no bound."""
        self._number = next(_NUMBERS)
        self.most = most
        self.named = named
        self.rate: Rate | None = None
        self.full_at = 0.0
        self.in_flight = 0
        self.holders = 0
        self.parked: Ring[Lane] = Ring()

    def __lt__(self, other: "Gate") -> bool:
        """Order gates by age, for the timers."""
        return self._number < other._number

    def admits(self, now: float) -> bool:
        """Tell whether one more request may start."""
        if self.most and self.in_flight >= self.most:
            return False
        return self.rate is None or self.rate.free_at(self.full_at) <= now

    def free_at(self) -> float:
        """Return from when on the rate allows one more."""
        return 0.0 if self.rate is None else self.rate.free_at(self.full_at)

    def enter(self, now: float) -> None:
        """Count a request that starts."""
        self.in_flight += 1
        if self.rate is not None:
            self.full_at = self.rate.taken(self.full_at, now)

    def give_back(self) -> None:
        """Give the token of a request back that was not made."""
        if self.rate is not None:
            self.full_at -= self.rate.interval


class Lane:
    """The state of a lane. It exists only while it has work.

    An idle one is an entry of the timers at most. There may be 100,000 of them (EC8): a list and a
    dict cost an eighth of a deque and a set.

    `buffer` holds rows to send next, `out` those in flight or not yet recorded. `dirty` says that
    the store may hold due rows which are in neither, or no longer some that are; it is cleared
    before a refill is read and set by any wake-up, so none is lost (EB2). `urgent` says that this
    cannot wait for room in the buffer, `held` that nothing of the buffer is sent before it is read
    again. While a refill is out, `settled` keeps what was recorded since, which its snapshot may
    still show pending (EB1), and `offered` counts what was put into the buffer since. A refill that
    began under an older `generation` is thrown away.

    By its `health` a lane may have `allowed` requests in flight, and it stands before `gates`, none
    of which it has to itself but that of its own rate. While it is `waiting` for one of them it has
    given up its rows, and is not read. The places of `stuck` rows are free, but they are not: what
    came of their requests could not be recorded. One of a `crowd` has nothing to send, as far as is
    known, but what goes to very many.
    """

    __slots__ = (
        "allowed",
        "buffer",
        "crowd",
        "dirty",
        "gates",
        "generation",
        "health",
        "held",
        "max_in_flight",
        "number",
        "offered",
        "out",
        "partition",
        "settled",
        "stuck",
        "tenant",
        "urgent",
        "waiting",
    )

    def __init__(self, entry: IndexEntry, max_in_flight: int) -> None:
        """Begin with nothing in memory."""
        self.number: SubscriptionNumber = entry.number
        self.partition = entry.partition
        self.tenant = entry.tenant
        self.max_in_flight = max_in_flight
        self.health: Health = UNKNOWN
        self.allowed = max_in_flight
        self.gates: tuple[Gate, ...] = ()
        self.stuck = 0
        self.waiting = self.crowd = False
        self.buffer: list[Row] = []
        self.out: dict[DeliverySeq, Row] = {}
        self.settled: set[DeliverySeq] | None = None
        self.offered = 0
        self.dirty = False
        self.urgent = False
        self.held = False
        self.generation = 0

    @property
    def ready(self) -> bool:
        """Whether a row can be taken now, the subscription's state and the gates apart."""
        return bool(self.buffer) and not self.held and len(self.out) - self.stuck < self.allowed

    @property
    def sent(self) -> int:
        """How many requests are in flight or not yet recorded."""
        return len(self.out) - self.stuck

    @property
    def standing(self) -> Standing:
        """The class that its requests count for."""
        return self.health.standing

    @property
    def refilling(self) -> bool:
        """Whether a refill is out."""
        return self.settled is not None

    @property
    def hungry(self) -> bool:
        """Whether a refill should be read now."""
        if not self.dirty or self.waiting or self.settled is not None:
            return False
        return self.urgent or len(self.buffer) < max(1, self.allowed)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with this object."""
        return not (self.buffer or self.out or self.dirty or self.refilling)

    @property
    def excluded(self) -> tuple[DeliverySeq, ...]:
        """The rows whose requests are in flight or not yet recorded."""
        return tuple(self.out)

    def begin_refill(self) -> None:
        """Take note that a refill is going to be read."""
        self.settled = set()
        self.offered = 0
        self.dirty = self.urgent = False

    def end_refill(self) -> None:
        """Take note that no refill is out."""
        self.settled = None

    def passes_over(self, seq: DeliverySeq) -> bool:
        """Whether a row that the refill shows is in flight, or was recorded since it began."""
        return seq in self.out or (self.settled is not None and seq in self.settled)

    def replace(self, rows: Iterable[Row]) -> None:
        """Hold the rows of the refill in the place of those that were here when it began.

        The store knows better: some may have become final, others due before them.
        """
        since = self.buffer[max(0, len(self.buffer) - self.offered) :]
        merged = {row.delivery.seq: row for row in (*since, *rows)}
        self.buffer = sorted(merged.values(), key=lambda row: (row.due_at, row.delivery.seq))

    def drop_buffer(self) -> None:
        """Forget what is not in flight.

        It is still pending in the store, and read again from there.
        """
        self.buffer.clear()
        self.held = False
        self.generation += 1


class Taken(NamedTuple):
    """A delivery that a sender has taken, and its lane."""

    lane: Lane
    row: Row


class Reading(NamedTuple):
    """A refill that is out: its lane at a generation, the rows asked for, and when."""

    lane: Lane
    generation: int
    limit: int
    asked_at: float


def calm_of(rows: Sequence[NewDelivery], entry: IndexEntry | None) -> int:
    """Return for how long none of these rows becomes due or expires, in microseconds.

    They are sorted by due time, and none is due yet.
    """
    due_in = rows[0].due_in
    if entry is None or entry.max_age is None:
        return due_in
    # One that was final before is tried at any age.
    ages = [row.age for row in rows if not row.final_before]
    return min(due_in, entry.max_age - max(ages, default=0))
