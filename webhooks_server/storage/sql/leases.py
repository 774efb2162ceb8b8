"""Partitions on SQLite, where the process that owns the data directory has them all."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, tuple_, update
from typing_extensions import override

from webhooks_server.domain.partitions import NOBODY, EngineEntry, Heard
from webhooks_server.domain.times import Instant
from webhooks_server.ports import EngineSession, Leases
from webhooks_server.storage.exclusive import ExclusiveSession, Table
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.sql.database import Transactions
from webhooks_server.storage.sql.schema import partitions


class SqliteLeases(Leases):
    """The port Leases."""

    def __init__(
        self, transactions: Transactions, owner: Owner, now: Callable[[], Instant]
    ) -> None:
        self._table = _SqlTable(transactions)
        self._owner = owner
        self._now = now

    @override
    def session(self, engine: EngineEntry) -> EngineSession:
        self._owner.name = engine.name
        return ExclusiveSession(engine, self._table, self._now)

    @override
    async def announce(self, news: Heard) -> None:
        """There is nobody else to tell."""


class _SqlTable(Table):
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    @override
    async def take(self, engine: str, partitions: Sequence[int]) -> Mapping[int, int]:
        return await self._transactions.transact(
            lambda connection: _take(connection, engine, partitions)
        )

    @override
    async def release(self, engine: str, epochs: Mapping[int, int]) -> None:
        await self._transactions.transact(lambda connection: _release(connection, engine, epochs))


def _take(connection: Connection, engine: str, wanted: Sequence[int]) -> Mapping[int, int]:
    taken = connection.execute(
        update(partitions)
        .where(partitions.c.id.in_(wanted))
        .values(owner=engine, epoch=partitions.c.epoch + 1)
        .returning(partitions.c.id, partitions.c.epoch)
    )
    return dict(taken.all())


def _release(connection: Connection, engine: str, epochs: Mapping[int, int]) -> None:
    connection.execute(
        update(partitions)
        .where(
            partitions.c.owner == engine,
            tuple_(partitions.c.id, partitions.c.epoch).in_(list(epochs.items())),
        )
        .values(owner=NOBODY)
    )
