"""An event store that holds appends back, so that a test decides when they are committed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from webhooks_server.domain.event import Accepted, Publish
from webhooks_server.ports import EventStore, Stores


class Gated:
    """Holds every append at a gate, and fails it where an error is set; the rest is the store's."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.sizes: list[int] = []

    def front(self, stores: Stores) -> Stores:
        return replace(stores, events=cast("EventStore", _Events(self, stores.events)))


class _Events:
    def __init__(self, gated: Gated, real: EventStore) -> None:
        self._gated = gated
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def append(self, publish: Publish) -> Sequence[Accepted]:
        self._gated.sizes.append(len(publish.events))
        await self._gated.gate.wait()
        if self._gated.error is not None:
            raise self._gated.error
        return await self._real.append(publish)
