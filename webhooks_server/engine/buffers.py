"""The rows in memory: bounded over all lanes (reliability L7), and fair between them."""

from collections.abc import Callable, Sequence

from webhooks_server.domain.breaker import Standing
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.lane import Lane, Row


class Buffers:
    """Puts rows into the buffers of lanes and takes them out, and counts them.

    A lane may always hold twice what it may have in flight. With at most a quarter of `most` in
    flight at once, lanes whose receivers hang hold half of it then, so that there is always room
    for those that can send. Up to `shared` rows, few lanes may hold more, so that few reads are
    needed for them. Lanes that stand before gates may have to wait there with their rows: of each
    class of them all together hold a quarter of `most` at the most. So do crowds, whatever else
    they are, so that there is room for everybody else.
    """

    def __init__(self, most: int, shared: int, freed: Callable[[], None]) -> None:
        """Take the bounds, in rows, and whom to tell that rows have left."""
        self._most = most
        self._shared = shared
        self._freed = freed
        self._used = 0
        self._gated = dict.fromkeys(Standing, 0)
        self._crowded = 0

    @property
    def spare(self) -> int:
        """How many more rows may be read; negative where more are here already."""
        return self._most - self._used

    def spare_of(self, standing: Standing) -> int:
        """Return how many more rows of gated lanes of a class may be read."""
        return min(self.spare, self._share - self._gated[standing])

    @property
    def spare_of_crowds(self) -> int:
        """How many more rows of crowds may be read."""
        return min(self.spare, self._share - self._crowded)

    def in_flight_of(self, entry: IndexEntry) -> int:
        """Return how many deliveries of a lane may be in flight: never more than all slots."""
        return min(entry.max_in_flight, max(1, self._most // 4))

    def room(self, lane: Lane, lanes: int) -> int:
        """Return how many more rows a lane may hold, as one of so many lanes."""
        here = len(lane.buffer)
        own = 2 * max(1, lane.allowed) - here
        if lane.crowd:
            return max(0, min(own, self.spare_of_crowds))
        if lane.gates:
            return max(0, min(own, self.spare_of(lane.standing)))
        extra = min(self._shared // lanes - here, self._shared - self._used)
        return max(0, own, extra)

    def put(self, lane: Lane, row: Row) -> None:
        """Put a new row behind the others."""
        lane.buffer.append(row)
        lane.offered += 1
        self._count(lane, 1)

    def take(self, lane: Lane) -> Row:
        """Take the first row out."""
        row = lane.buffer.pop(0)
        self._count(lane, -1)
        return row

    def replace(self, lane: Lane, rows: Sequence[Row], lanes: int) -> None:
        """Hold what a refill read, as far as there is room; the rest must be read again."""
        before = len(lane.buffer)
        most = before + self.room(lane, lanes)
        lane.replace(rows)
        if len(lane.buffer) > most:
            del lane.buffer[most:]
            lane.dirty = True
        self._count(lane, len(lane.buffer) - before)

    def drop(self, lane: Lane) -> None:
        """Forget a lane's rows."""
        rows = len(lane.buffer)
        lane.drop_buffer()
        self._count(lane, -rows)

    def leave_class(self, lane: Lane) -> None:
        """Take a lane's rows out of the count of its class, before that changes."""
        self._count_in_class(lane, -len(lane.buffer))

    def join_class(self, lane: Lane) -> None:
        """Count a lane's rows in the class that it is of now."""
        self._count_in_class(lane, len(lane.buffer))

    def _count(self, lane: Lane, change: int) -> None:
        self._used += change
        self._count_in_class(lane, change)
        if change < 0:
            self._freed()

    def _count_in_class(self, lane: Lane, change: int) -> None:
        if lane.crowd:
            self._crowded += change
        elif lane.gates:
            self._gated[lane.standing] += change

    @property
    def _share(self) -> int:
        return max(2, self._most // 4)
