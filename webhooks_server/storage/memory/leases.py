"""Partitions in memory: one process has them all."""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from webhooks_server.domain.partitions import NOBODY, EngineEntry, Heard
from webhooks_server.ports import EngineSession, Leases
from webhooks_server.storage.exclusive import ExclusiveSession, Table
from webhooks_server.storage.memory.rows import Rows
from webhooks_server.storage.owner import Owner


class MemoryLeases(Leases):
    """The port Leases."""

    def __init__(self, rows: Rows, owner: Owner) -> None:
        self._rows = rows
        self._owner = owner

    @override
    def session(self, engine: EngineEntry) -> EngineSession:
        self._owner.name = engine.name
        return ExclusiveSession(engine, _MemoryTable(self._rows), self._rows.now)

    @override
    async def announce(self, news: Heard) -> None:
        """There is nobody else to tell."""


class _MemoryTable(Table):
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @override
    async def take(self, engine: str, partitions: Sequence[int]) -> Mapping[int, int]:
        owners = self._rows.owners
        for partition in partitions:
            owners[partition] = (engine, owners[partition][1] + 1)
        return {partition: owners[partition][1] for partition in partitions}

    @override
    async def release(self, engine: str, epochs: Mapping[int, int]) -> None:
        owners = self._rows.owners
        for partition, epoch in epochs.items():
            if owners[partition] == (engine, epoch):
                owners[partition] = (NOBODY, epoch)
