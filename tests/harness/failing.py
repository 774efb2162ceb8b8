"""Stores that fail as a test tells them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from webhooks_server.domain.partitions import EngineEntry
from webhooks_server.ports import ControlStore, EngineSession, Leases, Stores


class Moody:
    """A front of a real store: before each call of a method it does what a test tells it to.

    What that raises comes out in the place of an answer.
    """

    def __init__(self, real: object) -> None:
        self._real = real
        self.before: dict[str, Callable[..., object]] = {}
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._real, name)

        async def call(*arguments: object) -> object:
            self.calls.append((name, arguments))
            # A store that answers at once, as the one in memory, would hide what goes on meanwhile.
            await asyncio.sleep(0)
            if name in self.before:
                self.before[name](*arguments)
            return await method(*arguments)

        return call

    def fail(self, name: str, error: Exception) -> None:
        """Let a method fail until told otherwise."""

        def raising(*_: object) -> None:
            raise error

        self.before[name] = raising

    def heal(self, name: str) -> None:
        """Let a method work again."""
        del self.before[name]

    def asked(self, name: str) -> list[list[object]]:
        """Return what a method that takes a list was given, call by call."""
        return [list(cast("list[object]", given[0])) for one, given in self.calls if one == name]

    def count(self, name: str) -> int:
        """Return how often a method was called."""
        return sum(1 for called, _ in self.calls if called == name)


class MoodyLeases:
    """A front of the leases of a real store, whose sessions fail as a test tells `session`."""

    def __init__(self, real: Leases) -> None:
        self._real = real
        self.announce = real.announce
        self.sessions: list[Moody] = []
        self.failing: dict[str, Exception] = {}

    def fail(self, name: str, error: Exception) -> None:
        """Let a method of all sessions fail from now on."""
        self.failing[name] = error
        for session in self.sessions:
            session.fail(name, error)

    def session(self, engine: EngineEntry) -> EngineSession:
        real = self._real.session(engine)
        made = MoodySession(real)
        made.is_exclusive, made.is_alive = real.is_exclusive, real.is_alive
        made.listen = real.listen
        self.sessions.append(made)
        for name, error in self.failing.items():
            made.fail(name, error)
        return cast("EngineSession", made)


class MoodySession(Moody):
    """A front of a session; what is no coroutine is the real one's."""

    is_exclusive: bool
    is_alive: bool
    listen: Callable[..., None]


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
