"""Opening the memory twin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Clock, Stores
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.memory.control import MemoryControl
from webhooks_server.storage.memory.deliveries import MemoryDeliveries
from webhooks_server.storage.memory.events import MemoryEvents
from webhooks_server.storage.memory.lanes import MemoryLanes
from webhooks_server.storage.memory.leases import MemoryLeases
from webhooks_server.storage.memory.rows import Rows
from webhooks_server.storage.memory.subscriptions import MemorySubscriptions
from webhooks_server.storage.owner import Owner


@asynccontextmanager
async def open_memory(index: MatchIndex, clock: Clock) -> AsyncIterator[Stores]:
    """Open empty stores that share one set of rows, and match through the index."""
    rows, owner = Rows(StoreClock(clock)), Owner()
    yield Stores(
        subscriptions=MemorySubscriptions(rows),
        events=MemoryEvents(rows, index),
        deliveries=MemoryDeliveries(rows),
        lanes=MemoryLanes(rows, owner),
        leases=MemoryLeases(rows, owner),
        control=MemoryControl(rows),
    )
