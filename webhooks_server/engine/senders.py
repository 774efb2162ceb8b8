"""The slots.

A bounded set of sender tasks that take deliveries in turn. No task is made per delivery.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine

from webhooks_server.engine.lanes import Taken


class Senders:
    """Sender tasks, made as they are needed, at most `slots`, and kept."""

    def __init__(
        self,
        slots: int,
        take: Callable[[], Taken | None],
        deliver: Callable[[Taken], Awaitable[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Take their number, where deliveries come from and go, and the tasks' group."""
        self.slots = slots
        self._take = take
        self._deliver = deliver
        self._tasks = tasks
        self._count = 0
        self._busy = 0
        self._beside = 0
        self._running: set[asyncio.Task[None]] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._stopping = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def free(self) -> int:
        """How many slots have nothing to send."""
        return self.slots - self._busy

    @property
    def busy(self) -> int:
        """How many slots send."""
        return self._busy

    def resize(self, slots: int) -> None:
        """Let so many send at once from now on; who sends beyond that finishes."""
        more, self.slots = slots - self.slots, slots
        self.wake(more)

    def wake(self, count: int) -> None:
        """Let so many senders look for work."""
        while count > 0 and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1
        while count > 0 and self._count < self.slots and not self._stopping:
            self._count += 1
            sender = self._tasks.create_task(self._run(), name=f"sender-{self._count}")
            self._running.add(sender)
            sender.add_done_callback(self._running.discard)
            count -= 1

    def start_beside(self, work: Coroutine[object, object, None]) -> None:
        """Run work that sends outside of the slots, and ends as those that send do."""
        self._beside += 1
        self._quiet.clear()
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended_beside)

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._beside -= 1
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if not (self._busy or self._beside):
            self._quiet.set()

    async def stop(self) -> None:
        """Let no sender take anything more, and return when those that send have ended."""
        self._stopping = True
        for waiter in self._idle:
            if not waiter.done():
                waiter.set_result(None)
        await self._quiet.wait()

    @property
    def beside(self) -> int:
        """How much of what sends has no slot."""
        return self._beside

    async def cut_off(self) -> None:
        """Give up what is being sent; returns once it has ended."""
        for sender in self._running:
            sender.cancel()
        await self._quiet.wait()

    async def _run(self) -> None:
        while not self._stopping:
            taken = self._take() if self._busy < self.slots else None
            if taken is None:
                waiter = asyncio.get_running_loop().create_future()
                self._idle.append(waiter)
                await waiter
                continue
            self._busy += 1
            self._quiet.clear()
            try:
                await self._deliver(taken)
            finally:
                self._busy -= 1
                self._tell_quiet()
