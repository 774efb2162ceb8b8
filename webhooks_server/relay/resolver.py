"""Names to addresses, in bounded time."""

import asyncio
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver

from webhooks_server.relay.exchange import CURRENT, Stage

QUERY_SECONDS = 2.0
QUERY_TRIES = 2
RESOLVE_SECONDS = 3.0


class BoundedResolver(AbstractResolver):
    """Asks the name servers without a thread per name, so that slow names delay nobody else."""

    def __init__(self, nameservers: Sequence[str]) -> None:
        self._names = AsyncResolver(
            nameservers=list(nameservers) or None, timeout=QUERY_SECONDS, tries=QUERY_TRIES
        )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises OSError where it has none, and TimeoutError where nobody answers.
        """
        exchange = CURRENT.get()
        exchange.stage = Stage.RESOLVING
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await self._names.resolve(host, port, family)
        exchange.stage = Stage.CONNECTING
        return found

    async def close(self) -> None:
        """Give up what is being asked."""
        await self._names.close()
