"""Finding the lanes of partitions: those that were won, and all after a pause or a lost session."""

from collections.abc import Iterable

from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, LaneStore

AT_ONCE = 8


class Finding:
    """The loop that does it, some partitions at a time.

    Sending starts after the first, not after the last (EC8).
    """

    def __init__(self, store: LaneStore, lanes: Lanes, clock: Clock) -> None:
        """Take where lanes are found, and who must know of them."""
        self._store = store
        self._lanes = lanes
        self._wanted = Signal(clock)
        self._partitions: dict[int, None] = {}
        self._gained: set[int] = set()

    def ask(self, partitions: Iterable[int], *, gained: bool = False) -> None:
        """Find the lanes of these partitions, as they are from now on.

        Of those that were another engine's, how badly lanes fail is read again.
        """
        partitions = list(partitions)
        if gained:
            self._gained |= set(partitions)
        for partition in partitions:
            # One that is being read now is read again.
            self._partitions.pop(partition, None)
            self._partitions[partition] = None
        self._wanted.set()

    async def run(self) -> None:
        """Find what was asked for, for ever; what cannot be read stays asked for."""
        while True:
            while self._partitions:
                partitions = list(self._partitions)[:AT_ONCE]
                for partition in partitions:
                    del self._partitions[partition]
                try:
                    await self._find(partitions)
                except BaseException:
                    self._partitions |= dict.fromkeys(partitions)
                    raise
            await self._wanted.wait()

    async def _find(self, partitions: Iterable[int]) -> None:
        owned = [partition for partition in partitions if partition in self._lanes.epochs]
        if owned:
            heads = await self._store.find(owned)
            numbers = [head.subscription for head in heads if head.partition in self._gained]
            if numbers:
                failing = await self._store.failing(numbers)
                for number in numbers:
                    self._lanes.restore(number, failing.get(number, 0))
            self._gained -= set(owned)
            for head in heads:
                self._lanes.note(head)
