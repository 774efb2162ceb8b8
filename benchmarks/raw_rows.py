"""Raw rows (`python -m benchmarks.raw_rows`): the server's own, by executemany, each batch on disk.

It is the limit of B3. The rows are read from a database that a server wrote, and written into an
empty one of the same schema, one transaction for each batch of events with its deliveries.
"""

import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg

from benchmarks import helper
from benchmarks.children import BenchmarkError, Message
from benchmarks.load import BATCH

TABLES = ("events", "deliveries")
Row = tuple[object, ...]
Rows = dict[str, list[Row]]


class _SqliteRows:
    def __init__(self, database: Path) -> None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source:
            statements = source.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
                " ORDER BY type DESC"
            )
            self._schema = [statement for (statement,) in statements]
            self.rows: Rows = {
                table: source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
                for table in TABLES
            }

    async def write(self) -> float:
        """Write all rows into a new database; returns the seconds."""
        with tempfile.TemporaryDirectory() as folder:
            return self._write(Path(folder) / "raw.db")

    def _write(self, database: Path) -> float:
        with closing(sqlite3.connect(database, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode = WAL")
            target.execute("PRAGMA synchronous = FULL")
            for statement in self._schema:
                target.execute(statement)
            started = time.perf_counter()
            for first in range(0, len(self.rows["events"]), BATCH):
                target.execute("BEGIN IMMEDIATE")
                for table, rows in self.rows.items():
                    some = rows[first : first + BATCH]
                    places = ", ".join("?" * len(some[0]))
                    target.executemany(f"INSERT INTO {table} VALUES ({places})", some)  # noqa: S608
                target.execute("COMMIT")
            return time.perf_counter() - started


class _PostgresRows:
    """They are written into emptied tables of the database that they were read from."""

    def __init__(self, url: str, rows: Rows) -> None:
        self._url = url
        self.rows = rows

    @classmethod
    async def read(cls, url: str) -> "_PostgresRows":
        """Read the rows of a database, whose server has ended."""
        connection = await asyncpg.connect(url)
        rows = {
            table: [tuple(row) for row in await connection.fetch(f"SELECT * FROM {table}")]  # noqa: S608
            for table in TABLES
        }
        await connection.close()
        return cls(url, rows)

    async def write(self) -> float:
        """Write all rows into the empty tables; returns the seconds."""
        connection = await asyncpg.connect(self._url)
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
        started = time.perf_counter()
        for first in range(0, len(self.rows["events"]), BATCH):
            async with connection.transaction():
                for table, rows in self.rows.items():
                    some = rows[first : first + BATCH]
                    places = ", ".join(f"${number + 1}" for number in range(len(some[0])))
                    await connection.executemany(
                        f"INSERT INTO {table} VALUES ({places})",  # noqa: S608
                        some,
                    )
        took = time.perf_counter() - started
        await connection.close()
        return took


@asynccontextmanager
async def _writing() -> AsyncIterator[helper.Answer]:
    kept: _SqliteRows | _PostgresRows | None = None

    async def answer(command: Message) -> Message:
        """Read the rows of a database, or write them anew and tell how long that took."""
        nonlocal kept
        match command:
            case {"database": database}:
                kept = _SqliteRows(Path(database))
            case {"url": url}:
                kept = await _PostgresRows.read(url)
            case _ if kept is None:
                raise BenchmarkError("no rows were read")
            case _:
                return {"seconds": str(await kept.write())}
        return {"events": str(len(kept.rows["events"]))}

    yield answer


if __name__ == "__main__":
    helper.run(_writing)
