"""The order in which lanes are served.

A ring of tenants, each a ring of its lanes that wait (reliability L1, L3).
"""

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

from webhooks_server.domain.ids import TenantId

OTHERS_PER_TURN = 3
"""So many lanes with other work are served before one of a crowd, where both wait."""


class OfTenant(Protocol):
    """What stands in a ring: a lane.

    It is one of a `crowd` while all that is known to wait in it comes from events that go to very
    many lanes.
    """

    tenant: TenantId
    crowd: bool


Member = TypeVar("Member", bound=OfTenant)


class Ring(Generic[Member]):
    """Round robin over tenants, and over each tenant's lanes; a lane stands in it at most once."""

    def __init__(self) -> None:
        """Start empty."""
        self._tenants: OrderedDict[TenantId, deque[Member]] = OrderedDict()
        self._lanes: set[Member] = set()

    def __len__(self) -> int:
        """Return how many lanes wait."""
        return len(self._lanes)

    def __contains__(self, lane: Member) -> bool:
        """Tell whether a lane waits."""
        return lane in self._lanes

    def add(self, lane: Member) -> None:
        """Put a lane behind the others of its tenant."""
        if lane in self._lanes:
            return
        self._lanes.add(lane)
        queue = self._tenants.get(lane.tenant)
        if queue is None:
            queue = self._tenants[lane.tenant] = deque()
        queue.append(lane)

    def pop(self) -> Member | None:
        """Take the next lane out; None where no lane is waiting."""
        if not self._tenants:
            return None
        tenant, queue = next(iter(self._tenants.items()))
        lane = queue.popleft()
        self._lanes.discard(lane)
        if queue:
            self._tenants.move_to_end(tenant)
        else:
            del self._tenants[tenant]
        return lane

    def clear(self) -> None:
        """Let no lane wait."""
        self._tenants.clear()
        self._lanes.clear()


class Turns(Generic[Member]):
    """A ring of lanes, and behind it that of the crowds, which has every fourth turn at least.

    In one ring, a lane that others publish to would wait for 100,000 lanes before each delivery
    (reliability L6).
    """

    def __init__(self) -> None:
        """Start empty."""
        self._others: Ring[Member] = Ring()
        self._crowd: Ring[Member] = Ring()
        self._served = 0

    def __contains__(self, lane: Member) -> bool:
        """Tell whether a lane waits."""
        return lane in self._others or lane in self._crowd

    @property
    def crowded(self) -> bool:
        """Whether one of a crowd waits."""
        return bool(self._crowd)

    def add(self, lane: Member) -> None:
        """Put a lane behind the others of its kind; one that left a crowd may stand in both."""
        (self._crowd if lane.crowd else self._others).add(lane)

    def pop(self, *, crowd: bool) -> Member | None:
        """Take the next lane out, one of a crowd only if it may be; None where none is waiting."""
        if crowd and self._crowd and (self._served >= OTHERS_PER_TURN or not self._others):
            self._served = 0
            return self._crowd.pop()
        self._served += 1
        return self._others.pop()
