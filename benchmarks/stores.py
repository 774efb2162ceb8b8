"""Where a server under test keeps its data: databases that a benchmark makes and throws away."""

import asyncio
import secrets
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import asyncpg
from typing_extensions import override

from tests.harness.postgres_server import FOLDERS, running_server

Kind = Literal["sqlite", "postgres"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgres")
NEWEST_POSTGRES = max(FOLDERS)
# What the tests leave off, because they do not measure.
DURABLE = {"fsync": "on", "full_page_writes": "on"}
FOREIGN_TOOL_SECONDS = 5.0


class Store(Protocol):
    """One database, and how to say things in its SQL that both kinds can."""

    folder: Path
    """For whatever a server leaves beside its data."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What tells a server to use it."""
        ...

    async def run(self, statements: Sequence[str]) -> None:
        """Execute statements while no server runs on it; each is a transaction of its own."""
        ...

    async def value(self, query: str) -> int:
        """Read one number, while a server runs too."""
        ...

    def numbers(self, first: int, last: int) -> str:
        """Return a FROM item `n (i)` of whole numbers."""
        ...

    def bytes_of(self, text: str) -> str:
        """Return the expression that makes bytes of an expression for a text."""
        ...

    def last_numbers(self, event: int, delivery: int) -> Sequence[str]:
        """Return the statements that make the next event and delivery come after these."""
        ...


class SqliteStore(Store):
    """A data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    @override
    def settings(self) -> Mapping[str, str]:
        return {"WEBHOOKS_DATA_DIR": str(self.data)}

    @property
    def database(self) -> Path:
        """The file, once a server has made it."""
        (found,) = self.data.glob("*.db")
        return found

    @override
    async def run(self, statements: Sequence[str]) -> None:
        def run() -> None:
            with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA cache_size = -200000")
                for statement in statements:
                    connection.execute(statement)

        await asyncio.to_thread(run)

    @override
    async def value(self, query: str) -> int:
        # From another process than the server: it is only within one that SQLite's locks get lost.
        def read() -> int:
            uri = f"file:{self.database}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=FOREIGN_TOOL_SECONDS)) as source:
                return int(source.execute(query).fetchone()[0])

        return await asyncio.to_thread(read)

    @override
    def numbers(self, first: int, last: int) -> str:
        return (
            f"(WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL"  # noqa: S608 - own numbers
            f" SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n) AS n"
        )

    @override
    def bytes_of(self, text: str) -> str:
        return f"CAST({text} AS BLOB)"

    @override
    def last_numbers(self, event: int, delivery: int) -> Sequence[str]:
        return [f"UPDATE control SET last_event = {event}, last_delivery = {delivery}"]  # noqa: S608


class PostgresStore(Store):
    """A database of a PostgreSQL server."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    @property
    @override
    def settings(self) -> Mapping[str, str]:
        return {"WEBHOOKS_DATABASE_URL": self.url}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection"]:
        """Open a connection beside those of the servers."""
        opened: asyncpg.Connection = await asyncpg.connect(self.url)
        try:
            yield opened
        finally:
            await opened.close()

    @override
    async def run(self, statements: Sequence[str]) -> None:
        async with self.connection() as connection:
            for statement in statements:
                await connection.execute(statement)
            # Now, and not by chance while something is measured.
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")

    @override
    async def value(self, query: str) -> int:
        async with self.connection() as connection:
            return int(await connection.fetchval(query))

    @override
    def numbers(self, first: int, last: int) -> str:
        return f"generate_series({first}, {last}) AS n (i)"

    @override
    def bytes_of(self, text: str) -> str:
        return f"convert_to({text}, 'UTF8')"

    @override
    def last_numbers(self, event: int, delivery: int) -> Sequence[str]:
        return [
            f"SELECT setval('event_numbers', {event})",
            f"SELECT setval('delivery_numbers', {delivery})",
        ]


NewStore = Callable[[], Awaitable[Store]]


@asynccontextmanager
async def open_stores(kind: Kind) -> AsyncIterator[NewStore]:
    """Yield what makes stores of one kind; all of them are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if kind == "sqlite":

            async def new_folder() -> Store:
                return SqliteStore(_new_folder(folder))

            yield new_folder
            return
        async with open_postgres_stores(folder) as new_database:
            yield new_database


@asynccontextmanager
async def open_postgres_stores(
    folder: Path,
) -> AsyncIterator[Callable[[], Awaitable[PostgresStore]]]:
    """Run a PostgreSQL server, and yield what makes databases on it."""
    with running_server(NEWEST_POSTGRES, **DURABLE) as server:
        url = server.url()

        async def new_database() -> PostgresStore:
            made = _new_folder(folder)
            maker = await asyncpg.connect(url)
            await maker.execute(f'CREATE DATABASE "{made.name}"')
            await maker.close()
            return PostgresStore(urlsplit(url)._replace(path=f"/{made.name}").geturl(), made)

        yield new_database


def _new_folder(parent: Path) -> Path:
    folder = parent / f"store-{secrets.token_hex(4)}"
    folder.mkdir()
    return folder
