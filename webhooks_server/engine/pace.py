"""How fast requests of crowds start: beside them, others get their turns."""

import asyncio
from collections.abc import Callable

from webhooks_server.engine.lanes import Lanes, Taken

STARTS_PER_TURN = 2
OTHERS_SHARE = 3
"""Where others are served, so many times as long as a turn took is left to them after it."""
MEMORY = 0.25
"""For how long others count as being served after the last of them, in seconds."""
LONGEST_REST = 0.05


class Pace:
    """Lets few of them start in each turn of the event loop.

    What one other delivery needs, from the call that publishes it to the record of its answer,
    takes a dozen turns; and a turn takes as long as all that runs in it. Where there is nobody
    else, turns follow each other without a rest, and nothing is lost.
    """

    def __init__(self, lanes: Lanes, wake: Callable[[int], None]) -> None:
        """Take where deliveries come from, and what lets so many senders look for work."""
        self._lanes = lanes
        self._wake = wake
        self._started = 0
        self._began = 0.0
        self._served_others = -MEMORY
        self._is_held = False

    def take(self) -> Taken | None:
        """Take the next delivery in turn; None where there is none, or none more in this turn."""
        is_open = self._started < STARTS_PER_TURN
        taken = self._lanes.take(crowd=is_open)
        if taken is None:
            self._is_held = not is_open
        elif not taken.row.crowd:
            self._served_others = asyncio.get_running_loop().time()
        else:
            if not self._started:
                loop = asyncio.get_running_loop()
                self._began = loop.time()
                loop.call_soon(self._rest)
            self._started += 1
        return taken

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._served_others > MEMORY:
            self._go_on()
        else:
            loop.call_later(min(OTHERS_SHARE * (now - self._began), LONGEST_REST), self._go_on)

    def _go_on(self) -> None:
        self._started = 0
        # Once a turn, until there is nothing for one of those that are woken.
        if self._is_held:
            self._wake(STARTS_PER_TURN)
