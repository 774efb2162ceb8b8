"""The rows in memory: bounded over all lanes (reliability L7), and fair between them."""

from collections.abc import Callable, Sequence

from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.lane import Lane, Row


class Buffers:
    """Puts rows into the buffers of lanes and takes them out, and counts them.

    A lane may always hold twice what it may have in flight. With at most a quarter of `most` in
    flight at once, lanes whose receivers hang hold half of it then, so that there is always room
    for those that can send. Up to `shared` rows, few lanes may hold more, so that few reads are
    needed for them.
    """

    def __init__(self, most: int, shared: int, freed: Callable[[], None]) -> None:
        """Take the bounds, in rows, and whom to tell that rows have left."""
        self._most = most
        self._shared = shared
        self._freed = freed
        self._used = 0

    @property
    def spare(self) -> int:
        """How many more rows may be read; negative where more are here already."""
        return self._most - self._used

    def in_flight_of(self, entry: IndexEntry) -> int:
        """Return how many deliveries of a lane may be in flight: never more than all slots."""
        return min(entry.max_in_flight, max(1, self._most // 4))

    def room(self, lane: Lane, lanes: int) -> int:
        """Return how many more rows a lane may hold, as one of so many lanes."""
        here = len(lane.buffer)
        own = 2 * lane.max_in_flight - here
        extra = min(self._shared // lanes - here, self._shared - self._used)
        return max(0, own, extra)

    def put(self, lane: Lane, row: Row) -> None:
        """Put a new row behind the others."""
        lane.buffer.append(row)
        lane.offered += 1
        self._used += 1

    def take(self, lane: Lane) -> Row:
        """Take the first row out."""
        row = lane.buffer.pop(0)
        self._count(-1)
        return row

    def replace(self, lane: Lane, rows: Sequence[Row], lanes: int) -> None:
        """Hold what a refill read, as far as there is room; the rest must be read again."""
        before = len(lane.buffer)
        most = before + self.room(lane, lanes)
        lane.replace(rows)
        if len(lane.buffer) > most:
            del lane.buffer[most:]
            lane.dirty = True
        self._count(len(lane.buffer) - before)

    def drop(self, lane: Lane) -> None:
        """Forget a lane's rows."""
        rows = len(lane.buffer)
        lane.drop_buffer()
        self._count(-rows)

    def _count(self, change: int) -> None:
        self._used += change
        if change < 0:
            self._freed()
