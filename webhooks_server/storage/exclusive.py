"""The session of an engine that has its store to itself: nobody else takes part, or ever did."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from typing_extensions import override

from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.partitions import (
    NOBODY,
    Beat,
    Claim,
    EngineBeat,
    EngineEntry,
    Heard,
    Holding,
    News,
)
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.domain.times import Instant
from webhooks_server.ports import EngineSession


class Table(Protocol):
    """The partitions as they are stored."""

    async def take(self, engine: str, partitions: Sequence[int]) -> Mapping[int, int]:
        """Take partitions, whoever had them."""
        ...

    async def release(self, engine: str, epochs: Mapping[int, int]) -> None:
        """Give partitions back that this engine owns since these epochs."""
        ...


class ExclusiveSession(EngineSession):
    """Knows who owns what without asking."""

    def __init__(self, engine: EngineEntry, table: Table, now: Callable[[], Instant]) -> None:
        self._engine = engine
        self._table = table
        self._now = now
        self._mine: dict[int, int] = {}
        self._holdings = _holdings_of(engine.name, self._mine)
        self._beats = 0

    @property
    @override
    def is_exclusive(self) -> bool:
        return True

    @property
    @override
    def is_alive(self) -> bool:
        return True

    @override
    def listen(self, heard: Callable[[Heard], None], lost: Callable[[], None]) -> None:
        """Nothing is ever announced by others, or lost."""

    @override
    async def beat(self, slots: int, in_flight: int) -> Beat:
        self._beats += 1
        me = EngineBeat(
            name=self._engine.name,
            beat=self._beats,
            slots=slots,
            is_transient=self._engine.is_transient,
            is_connected=True,
            in_flight=in_flight,
            last_seen_time=self._now(),
        )
        return Beat(session=1, version=None, newest=None, engines=(me,), holdings=self._holdings)

    @override
    async def take(self, claims: Sequence[Claim]) -> Mapping[int, int]:
        taken = await self._table.take(self._engine.name, [claim.partition for claim in claims])
        self._hold({**self._mine, **taken})
        return taken

    @override
    async def release(self, epochs: Mapping[int, int]) -> None:
        await self._table.release(self._engine.name, epochs)
        self._hold(dict(self._mine.items() - epochs.items()))

    @override
    async def leave(self) -> None:
        await self.release(dict(self._mine))

    @override
    async def close(self) -> None:
        """There is nothing to close."""

    @override
    async def news(self, partitions: Sequence[int], above: DeliverySeq) -> News:
        return News(heads=(), reached=above, complete=True)

    def _hold(self, mine: dict[int, int]) -> None:
        self._mine = mine
        self._holdings = _holdings_of(self._engine.name, mine)


def _holdings_of(engine: str, mine: Mapping[int, int]) -> Mapping[int, Holding]:
    free = Holding(owner=NOBODY, epoch=0)
    return dict.fromkeys(range(PARTITIONS), free) | {
        partition: Holding(owner=engine, epoch=epoch) for partition, epoch in mine.items()
    }
