"""A connection for one purpose: opened when it is needed, and anew after it was lost."""

import random

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncConnection

from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.connection import Result, Script, check_kept, open_engine
from webhooks_server.storage.postgres.troubles import Trouble, trouble_of

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


class Link:
    """One connection outside of every pool; used by one script at a time."""

    def __init__(self, config: PostgresConfig, name: str) -> None:
        self._engine = open_engine(config, name, NullPool)
        self._connection: AsyncConnection | None = None
        self._failures = 0

    async def run(self, script: Script[Result]) -> Result:
        """Run a script that opens its transactions itself.

        Whatever it raises comes out; a connection that is lost by it is given up. OutcomeUnknown
        where PostgreSQL warned at a commit: it is stored, but not where it was to be (EA11).
        """
        try:
            connection = await self._opened()
            result = await connection.run_sync(script)
            await connection.run_sync(check_kept)
        except BaseException as error:
            if not isinstance(error, Exception) or trouble_of(error) is Trouble.LOST:
                await self.drop()
            raise
        return result

    def pause(self) -> float:
        """Return how many seconds to wait before the next try; longer with each (S1)."""
        longest = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures += 1
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads, hides nothing

    async def drop(self) -> None:
        """Give the connection up as it is."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
        await self._engine.dispose()

    async def _opened(self) -> AsyncConnection:
        if self._connection is None:
            self._connection = await self._engine.connect()
            self._failures = 0
        return self._connection
