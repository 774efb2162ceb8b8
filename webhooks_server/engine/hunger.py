"""Which lanes are to be read, and in what order."""

from webhooks_server.domain.breaker import Standing
from webhooks_server.engine.buffers import Buffers
from webhooks_server.engine.lane import Lane
from webhooks_server.engine.ring import Ring

ROWS_PER_LANE = 8
"""What a lane gets from a refill at least, if it has as much and may hold it."""


class Hunger:
    """Rings of lanes: those without gates, and each class of the others, whose rows are bounded.

    Crowds are a class of their own.
    """

    def __init__(self, buffers: Buffers) -> None:
        """Take what tells how much there is room for."""
        self._buffers = buffers
        self._urgent: Ring[Lane] = Ring()
        self._free: Ring[Lane] = Ring()
        self._crowds: Ring[Lane] = Ring()
        self._gated: dict[Standing, Ring[Lane]] = {standing: Ring() for standing in Standing}

    def __bool__(self) -> bool:
        """Tell whether a lane waits for room."""
        return bool(self._free or self._crowds) or any(self._gated.values())

    def add(self, lane: Lane) -> None:
        """Put a lane behind the others of its kind; an urgent one needs no room."""
        if lane.urgent:
            self._urgent.add(lane)
        elif lane.crowd:
            self._crowds.add(lane)
        elif lane.gates:
            self._gated[lane.standing].add(lane)
        else:
            self._free.add(lane)

    def pop(self, reading: int) -> Lane | None:
        """Take out the next lane that there is room for while so many are being read."""
        if (lane := self._urgent.pop()) is not None:
            return lane
        wanted = ROWS_PER_LANE * reading
        # In turns, so that no kind waits until another one has nothing more to read.
        kinds: list[Ring[Lane]] = [self._free] if wanted < self._buffers.spare else []
        if self._crowds and wanted < self._buffers.spare_of_crowds:
            kinds.append(self._crowds)
        for standing, ring in self._gated.items():
            if ring and wanted < self._buffers.spare_of(standing):
                kinds.append(ring)
        for turn in range(len(kinds)):
            if (lane := kinds[(reading + turn) % len(kinds)].pop()) is not None:
                return lane
        return None

    def clear(self) -> None:
        """Let no lane wait."""
        for ring in (self._urgent, self._free, self._crowds, *self._gated.values()):
            ring.clear()
