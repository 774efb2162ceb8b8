"""`python -m tests.faults.receiver_process LEDGER`: a receiver that outlives what it receives from.

Every request is in the ledger before it is answered. Prints its port; each line that it reads is
how to answer from then on: `{"latency": seconds, "status": number}`, where status 0 never answers.
It ends when its input does.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from tests.faults.ledger import Ledger

_HEADER = re.compile(
    rb"^(webhook-id|x-webhook-subscription|x-webhook-attempt|content-length): *(\S+)\r$",
    re.IGNORECASE | re.MULTILINE,
)
HANG = 0


@dataclass
class Manner:
    """How requests are answered."""

    latency: float = 0.0
    status: int = 200


class Receiving(asyncio.Protocol):
    """One connection. Its peer sends a request only when the one before was answered."""

    def __init__(self, ledger: Ledger, manner: Manner) -> None:
        self._ledger = ledger
        self._manner = manner
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            found = _HEADER.findall(self._waiting, 0, end + 2)
            headers = {name.lower(): value.decode() for name, value in found}
            size = end + 4 + int(headers.get(b"content-length", 0))
            if len(self._waiting) < size:
                return
            self._waiting = self._waiting[size:]
            self._take(headers)

    def _take(self, headers: dict[bytes, str]) -> None:
        status = self._manner.status
        names = (b"webhook-id", b"x-webhook-subscription", b"x-webhook-attempt")
        self._ledger.write([(time.monotonic(), *(headers[name] for name in names), status)])
        if status != HANG:
            loop = asyncio.get_running_loop()
            loop.call_later(self._manner.latency, self._answer, status)

    def _answer(self, status: int) -> None:
        if not self._transport.is_closing():
            answer = f"HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n"
            self._transport.write(answer.encode())


async def receive(path: Path) -> None:
    """Receive until the input ends."""
    loop = asyncio.get_running_loop()
    ledger, manner = Ledger(path), Manner()
    server = await loop.create_server(
        lambda: Receiving(ledger, manner), "127.0.0.1", 0, backlog=1024
    )
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while line := await reader.readline():
        told = json.loads(line)
        manner.latency, manner.status = told["latency"], told["status"]
        sys.stdout.write("done\n")
        sys.stdout.flush()
    server.close()
    ledger.close()


if __name__ == "__main__":
    uvloop.run(receive(Path(sys.argv[1])))
