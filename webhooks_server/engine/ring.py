"""The order in which lanes are served.

A ring of tenants, each a ring of its lanes that wait (reliability L1, L3).
"""

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

from webhooks_server.domain.ids import TenantId


class OfTenant(Protocol):
    """What stands in a ring: a lane."""

    tenant: TenantId


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
