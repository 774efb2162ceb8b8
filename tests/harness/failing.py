"""Stores that fail as a test tells them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from webhooks_server.ports import ControlStore, Stores


class Broken:
    """A store whose every method fails as it is told."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self._fail = fail

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def failing(*_: object, **__: object) -> object:
            result = self._fail()
            return await result if asyncio.iscoroutine(result) else result

        return failing


class Failing:
    """Stores that fail once they are told how; the page token key comes before that."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.entered = 0

    def front(self, stores: Stores) -> Stores:
        broken = Broken(self._fail)
        control = _Control(broken, stores.control)
        return replace(
            stores,
            subscriptions=broken,  # type: ignore[arg-type]
            events=broken,  # type: ignore[arg-type]
            deliveries=broken,  # type: ignore[arg-type]
            control=cast("ControlStore", control),
        )

    async def _fail(self) -> object:
        self.entered += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is None:
            raise AssertionError("no error was told")
        raise self.error


class _Control:
    def __init__(self, broken: Broken, real: ControlStore) -> None:
        self._broken = broken
        self.server_key = real.server_key

    def __getattr__(self, name: str) -> Callable[..., object]:
        return getattr(self._broken, name)  # type: ignore[no-any-return]
