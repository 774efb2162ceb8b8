"""Who owns which partitions: what an engine asks of a store that it may share with others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.partitions import Beat, Claim, EngineEntry, Heard, News


class EngineSession(Protocol):
    """An engine's bond with its store, which is made anew where it was lost.

    All methods raise StoreUnavailable where the store does not answer. Whoever decides by what they
    answer is the engine: a store lets anybody take any partition, and lets records and settlements
    change something only where engine and epoch are those of the partition.
    """

    def listen(self, heard: Callable[[Heard], None], lost: Callable[[], None]) -> None:
        """Call `heard` with what others announce, and `lost` at the end of `is_alive`."""
        ...

    @property
    def is_exclusive(self) -> bool:
        """Whether no other engine can be there: all partitions may be taken at once, for good."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether nothing is known to be wrong with it since the last beat."""
        ...

    async def beat(self, slots: int, in_flight: int) -> Beat:
        """Prove that this engine lives, with so many slots, and learn of the others."""
        ...

    async def take(self, claims: Sequence[Claim]) -> Mapping[int, int]:
        """Take partitions as far as they are as claimed, in one commit.

        Returns the epochs of those that were taken, each higher than any before. One that is in
        use right now, by a record of its owner, is passed over.
        """
        ...

    async def release(self, epochs: Mapping[int, int]) -> None:
        """Give partitions back, those that this engine still owns since these epochs."""
        ...

    async def leave(self) -> None:
        """Give all partitions back, and be an engine no more."""
        ...

    async def close(self) -> None:
        """End the session without giving anything back; that never fails."""
        ...

    async def news(self, partitions: Sequence[int], above: DeliverySeq) -> News:
        """Return the lanes of these partitions with pending rows above a number.

        A row that is committed later may have a lower number than one that was seen (EC1).
        """
        ...


class Leases(Protocol):
    """The engines of a store."""

    def session(self, engine: EngineEntry) -> EngineSession:
        """Let an engine take part, from its first beat on.

        What is recorded and settled through the same stores is this engine's from now on.
        """
        ...

    async def announce(self, news: Heard) -> None:
        """Tell all engines of committed deliveries; that may get lost, and only saves time."""
        ...
