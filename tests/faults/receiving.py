"""The receiver of a run, in a process of its own."""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

from tests.faults.ledger import Receipts

_ROOT = Path(__file__).parents[2]


class Receiver:
    """A receiver that runs, and its ledger."""

    def __init__(self, process: Process, port: int, ledger: Path) -> None:
        self._process = process
        self._port = port
        self.receipts = Receipts(ledger)

    def url(self, subscription: str) -> str:
        return f"http://127.0.0.1:{self._port}/{subscription}"

    async def answer(self, *, latency: float = 0.0, status: int = 200) -> None:
        """Answer like that from now on: after so many seconds; with status 0 never."""
        reading, writing = self._process.stdout, self._process.stdin
        assert reading is not None
        assert writing is not None
        writing.write(json.dumps({"latency": latency, "status": status}).encode() + b"\n")
        assert await reading.readline() == b"done\n"


@contextlib.asynccontextmanager
async def open_receiver(ledger: Path) -> AsyncIterator[Receiver]:
    """Run a receiver; it ends at the end of the block."""
    command = (sys.executable, "-m", "tests.faults.receiver_process", str(ledger))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=_ROOT)
    try:
        assert process.stdout is not None
        yield Receiver(process, int(await process.stdout.readline()), ledger)
    finally:
        await process.communicate(b"")
