"""Raw SQLite (`python -m benchmarks.raw_rows`): the server's own rows, by executemany, with FULL.

It is the limit of B3. The rows are read from a database that a server wrote, and written into an
empty one of the same schema, one transaction for each batch of events with its deliveries.
"""

import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from benchmarks import helper
from benchmarks.children import Message
from benchmarks.load import BATCH

Row = tuple[object, ...]


class _Rows:
    def __init__(self) -> None:
        self._schema: list[str] = []
        self._rows: dict[str, list[Row]] = {}

    async def answer(self, command: Message) -> Message:
        """Read the rows of a database, or write them anew and tell how long that took."""
        if "database" in command:
            return {"events": str(self._read(Path(command["database"])))}
        with tempfile.TemporaryDirectory() as folder:
            return {"seconds": str(self._write(Path(folder) / "raw.db"))}

    def _read(self, database: Path) -> int:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source:
            statements = source.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
                " ORDER BY type DESC"
            )
            self._schema = [statement for (statement,) in statements]
            for table in ("events", "deliveries"):
                self._rows[table] = source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        return len(self._rows["events"])

    def _write(self, database: Path) -> float:
        with closing(sqlite3.connect(database, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode = WAL")
            target.execute("PRAGMA synchronous = FULL")
            for statement in self._schema:
                target.execute(statement)
            started = time.perf_counter()
            for first in range(0, len(self._rows["events"]), BATCH):
                target.execute("BEGIN IMMEDIATE")
                for table, rows in self._rows.items():
                    some = rows[first : first + BATCH]
                    places = ", ".join("?" * len(some[0]))
                    target.executemany(f"INSERT INTO {table} VALUES ({places})", some)  # noqa: S608
                target.execute("COMMIT")
            return time.perf_counter() - started


@asynccontextmanager
async def _writing() -> AsyncIterator[helper.Answer]:
    yield _Rows().answer


if __name__ == "__main__":
    helper.run(_writing)
