"""The order in which lanes are served.

A ring of tenants, each a ring of its lanes that can send (reliability L1, L3).
"""

from collections import OrderedDict, deque

from webhooks_server.domain.ids import TenantId
from webhooks_server.engine.lane import Lane


class Ring:
    """Round robin over tenants, and over each tenant's lanes; a lane stands in it at most once."""

    def __init__(self) -> None:
        """Start empty."""
        self._tenants: OrderedDict[TenantId, deque[Lane]] = OrderedDict()

    def add(self, lane: Lane) -> None:
        """Put a lane behind the others of its tenant."""
        if lane.queued:
            return
        lane.queued = True
        queue = self._tenants.get(lane.tenant)
        if queue is None:
            queue = self._tenants[lane.tenant] = deque()
        queue.append(lane)

    def pop(self) -> Lane | None:
        """Take the next lane out; None where no lane is waiting."""
        if not self._tenants:
            return None
        tenant, queue = next(iter(self._tenants.items()))
        lane = queue.popleft()
        lane.queued = False
        if queue:
            self._tenants.move_to_end(tenant)
        else:
            del self._tenants[tenant]
        return lane
