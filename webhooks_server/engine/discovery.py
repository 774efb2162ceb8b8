"""Finding what other processes published into the partitions of this engine (engine.md, EC1).

Numbers are drawn in the order of commits only within one process: what is committed later may have
the lower number. So every look goes back behind what was seen before, a little each time and far
once a second; a look that finds nothing new to look at is not made.
"""

from collections import deque

from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.partitions import Beat
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, EngineSession

SHORT_LAG = 1.0
LONG_LAG = 10.0
"""Seconds, and longer than any commit can take by the time-outs of the database (EA4)."""
LONG_INTERVAL = 1.0
FIRST_NUMBERS = 20_000
"""How far below the first number that is known the first looks go: what was drawn in the ten
seconds before was not seen."""
MOST_READS = 50


class Marks:
    """The highest number that was drawn, by when it was learned."""

    def __init__(self) -> None:
        """Start without any."""
        self._marks: deque[tuple[float, DeliverySeq]] = deque()

    def reset(self) -> None:
        """Forget all: numbers may have gone back (EA10)."""
        self._marks.clear()

    def add(self, now: float, newest: DeliverySeq) -> None:
        """Take note of the highest number."""
        if not self._marks:
            first = DeliverySeq(max(0, newest - FIRST_NUMBERS))
            self._marks.append((now - LONG_LAG, first))
            self._marks.append((now - SHORT_LAG, first))
        self._marks.append((now, newest))
        # The last one that is old enough stays.
        while len(self._marks) > 1 and self._marks[1][0] <= now - LONG_LAG:
            self._marks.popleft()

    def before(self, now: float, lag: float) -> DeliverySeq:
        """Return what the highest number was so many seconds ago."""
        found = DeliverySeq(0)
        for moment, newest in self._marks:
            if moment > now - lag:
                break
            found = newest
        return found

    @property
    def newest(self) -> DeliverySeq:
        """The highest number."""
        return self._marks[-1][1] if self._marks else DeliverySeq(0)


class Discovery:
    """The loop that looks; beats tell it that numbers were drawn, and others that they published.

    Neither is needed for what it finds: the back-stop visits every partition.
    """

    def __init__(self, session: EngineSession, lanes: Lanes, clock: Clock) -> None:
        """Take where to look, and who must know of it."""
        self._session = session
        self._lanes = lanes
        self._clock = clock
        self._wanted = Signal(clock)
        self._marks = Marks()
        self._known_session = 0
        self._looked_far_at = clock.monotonic()

    def learn(self, beat: Beat) -> None:
        """Take note of the numbers that were drawn, and look where there may be something new."""
        if beat.newest is None:
            return
        now = self._clock.monotonic()
        if beat.session != self._known_session:
            self._known_session = beat.session
            self._marks.reset()
        self._marks.add(now, beat.newest)
        lag = LONG_LAG if self._is_far_due(now) else SHORT_LAG
        if self._marks.before(now, lag) < beat.newest:
            self._wanted.set()

    def hear(self) -> None:
        """Take note that another process published into a partition of this engine."""
        self._wanted.set()

    async def run(self) -> None:
        """Look whenever it is wanted, for ever."""
        while True:
            await self._wanted.wait()
            await self._look()

    async def _look(self) -> None:
        now = self._clock.monotonic()
        is_far = self._is_far_due(now)
        above = self._marks.before(now, LONG_LAG if is_far else SHORT_LAG)
        for _ in range(MOST_READS):
            news = await self._session.news(sorted(self._lanes.epochs), above)
            for head in news.heads:
                self._lanes.note(head, is_news=True)
            if news.complete:
                break
            above = news.reached
        if is_far:
            self._looked_far_at = now

    def _is_far_due(self, now: float) -> bool:
        return now - self._looked_far_at >= LONG_INTERVAL
