"""A lane: one subscription's pending deliveries, as far as they are in memory."""

from collections import deque

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber
from webhooks_server.domain.subscription import IndexEntry


class Row:
    """A pending delivery in memory, its spans turned into moments of the monotonic clock."""

    __slots__ = ("created_at", "delivery", "due_at")

    def __init__(self, delivery: NewDelivery, now: float, asked_at: float) -> None:
        """Take a row as the store told it between `asked_at` and `now`.

        It is due at `due_at` or a little later, and was created at `created_at` or a little before.
        """
        self.delivery = delivery
        self.due_at = asked_at + delivery.due_in / 1_000_000
        self.created_at = now - delivery.age / 1_000_000


class Lane:
    """The state of a lane. It exists only while it has work.

    An idle one is an entry of the timers at most.

    `buffer` holds rows to send next, `out` those in flight or not yet recorded. `dirty` says that
    the store may hold due rows which are in neither; it is cleared before a refill is read and set
    by any wake-up, so none is lost (EB2). `settled` keeps what was recorded while a refill was out,
    whose snapshot may still show it pending (EB1). A refill that began under an older `generation`
    is thrown away.
    """

    __slots__ = (
        "buffer",
        "dirty",
        "generation",
        "max_in_flight",
        "number",
        "out",
        "partition",
        "queued",
        "refilling",
        "settled",
        "tenant",
    )

    def __init__(self, entry: IndexEntry) -> None:
        """Begin with nothing in memory."""
        self.number: SubscriptionNumber = entry.number
        self.partition = entry.partition
        self.tenant = entry.tenant
        self.max_in_flight = entry.max_in_flight
        self.buffer: deque[Row] = deque()
        self.out: dict[DeliverySeq, Row] = {}
        self.settled: set[DeliverySeq] = set()
        self.dirty = False
        self.refilling = False
        self.queued = False
        self.generation = 0

    @property
    def ready(self) -> bool:
        """Whether a row can be taken now, the subscription's state apart."""
        return bool(self.buffer) and len(self.out) < self.max_in_flight

    @property
    def hungry(self) -> bool:
        """Whether a refill should be read now."""
        return self.dirty and not self.refilling and len(self.buffer) < self.max_in_flight

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with this object."""
        return not (self.buffer or self.out or self.dirty or self.refilling)

    def drop_buffer(self) -> None:
        """Forget what is not in flight.

        It is still pending in the store, and read again from there.
        """
        self.buffer.clear()
        self.generation += 1
