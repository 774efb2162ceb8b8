"""Work that outlives the call which began it: owned, observed, ended at the stop."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from webhooks_server.domain.errors import WebhooksError
from webhooks_server.ports import Telemetry

Result = TypeVar("Result")


class Background:
    """The tasks that nobody waits for, or not for long enough."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Take where failures are told."""
        self._telemetry = telemetry
        self._tasks: set[asyncio.Task[object]] = set()
        self._needless: set[asyncio.Task[object]] = set()
        telemetry.watch("background_tasks", lambda: len(self._tasks))

    def start(
        self, name: str, work: Coroutine[object, object, object], *, needed: bool = True
    ) -> None:
        """Run work to its end; its failure is told and changes nothing.

        At the stop it is waited for where it is needed, and dropped where it is not.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._keep(task)
        if not needed:
            self._needless.add(task)
        task.add_done_callback(self._told)

    async def shielded(self, name: str, work: Coroutine[object, object, Result]) -> Result:
        """Return what work returns; it is finished even where the caller goes away first."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody is left who would hear of its failure.
            task.add_done_callback(self._told)
            raise

    async def close(self, grace: float) -> None:
        """Wait for what is needed, at most `grace` seconds; cancel the rest."""
        for task in self._needless:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[Result]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Result]) -> None:
        self._tasks.discard(task)
        self._needless.discard(task)

    def _told(self, task: asyncio.Task[object]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, WebhooksError):
            self._telemetry.fact("background.failed", work=task.get_name(), reason=error.reason)
        elif error is not None:
            self._telemetry.fault("background.failed", error, work=task.get_name())
