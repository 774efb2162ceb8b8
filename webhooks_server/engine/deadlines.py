"""Deadlines by one timer for all calls: asyncio.timeout is a tenth of what one of them costs."""

import asyncio
from types import TracebackType
from typing import Self

TICK_SECONDS = 0.05
"""How much later than asked a deadline may strike."""


class Deadlines:
    """The deadlines that run now; looked through again and again as long as there are any."""

    def __init__(self) -> None:
        self._running: set[Deadline] = set()
        self._is_ticking = False

    def within(self, seconds: float) -> "Deadline":
        """Return a context that raises TimeoutError where its body takes longer than this."""
        return Deadline(self, seconds)

    def start(self, deadline: "Deadline") -> None:
        """Watch a deadline."""
        self._running.add(deadline)
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def end(self, deadline: "Deadline") -> None:
        """Watch a deadline no more."""
        self._running.discard(deadline)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in [one for one in self._running if one.time <= now]:
            self._running.discard(deadline)
            deadline.strike()
        self._is_ticking = bool(self._running)
        if self._is_ticking:
            loop.call_later(TICK_SECONDS, self._tick)


class Deadline:
    """One deadline, as asyncio.timeout: it cancels the task, and turns that into TimeoutError."""

    __slots__ = ("_cancelled_before", "_deadlines", "_seconds", "_task", "has_struck", "time")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self.has_struck = False
        """Whether it came, and not another TimeoutError out of the body."""
        self._task: asyncio.Task[object] | None = None
        self._cancelled_before = 0
        self.time = 0.0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task to end")
        self._task = task
        self._cancelled_before = task.cancelling()
        self.time = asyncio.get_running_loop().time() + self._seconds
        self._deadlines.start(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.end(self)
        task, self._task = self._task, None
        if not self.has_struck or task is None:
            return
        # Cancelled by somebody else too, the task must end and not go on with a time-out.
        if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def strike(self) -> None:
        """End the body."""
        self.has_struck = True
        if self._task is not None:
            self._task.cancel()
