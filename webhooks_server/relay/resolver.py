"""Names to addresses: in bounded time, kept for a short while, and looked at each time."""

import asyncio
import socket
from collections.abc import Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver

from webhooks_server.relay.exchange import CURRENT, Stage
from webhooks_server.relay.guard import Guard

QUERY_SECONDS = 2.0
QUERY_TRIES = 2
RESOLVE_SECONDS = 3.0
KEPT_SECONDS = 20.0
"""Long enough for a burst of new connections, short enough for a receiver that moves."""
KEPT_NAMES = 1024

_Question = tuple[str, int, socket.AddressFamily]


class GuardedResolver(AbstractResolver):
    """Asks the name servers without a thread per name, so that slow names delay nobody else.

    What comes back is judged by the guard at each use, out of the cache too.
    """

    def __init__(
        self, nameservers: Sequence[str], guard: Guard, monotonic: Callable[[], float]
    ) -> None:
        self._names = AsyncResolver(
            nameservers=list(nameservers) or None, timeout=QUERY_SECONDS, tries=QUERY_TRIES
        )
        self._guard = guard
        self._monotonic = monotonic
        self._kept: dict[_Question, tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises OSError where it has none, TimeoutError where nobody answers, and BlockedAddressError
        where requests may not go to one of them.
        """
        exchange = CURRENT.get()
        exchange.stage = Stage.RESOLVING
        question = (host, port, family)
        found = self._known(question)
        if found is None:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._names.resolve(host, port, family)
            self._keep(question, found)
        self._guard.check_names(result["host"] for result in found)
        exchange.stage = Stage.CONNECTING
        return found

    async def close(self) -> None:
        """Give up what is being asked."""
        await self._names.close()

    def _known(self, question: _Question) -> list[ResolveResult] | None:
        kept_until, found = self._kept.get(question, (0.0, None))
        return found if kept_until > self._monotonic() else None

    def _keep(self, question: _Question, found: list[ResolveResult]) -> None:
        # The order of a dict is that of its insertions: the first is the oldest.
        self._kept.pop(question, None)
        if len(self._kept) >= KEPT_NAMES:
            del self._kept[next(iter(self._kept))]
        self._kept[question] = (self._monotonic() + KEPT_SECONDS, found)
