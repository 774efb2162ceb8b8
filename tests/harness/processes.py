"""Relays and servers as processes of their own on one PostgreSQL database."""

import contextlib
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.harness.command_line import finish, line_with, send_signal, start

ANY = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process that runs: where it serves, if it does, and where its page is."""

    process: Process
    address: str
    page: str


@contextlib.asynccontextmanager
async def started(command: str, url: str, *arguments: str) -> AsyncIterator[Started]:
    """Run `serve` or `relay` on a database; it is told to stop at the end and must end well."""
    listen = ("--listen", ANY) if command == "serve" else ()
    process = await start(
        *(command, *listen, "--log-format", "json", "--ops-listen", ANY, *arguments),
        variables={"WEBHOOKS_DATABASE_URL": url},
    )
    try:
        fact = "server.serving" if command == "serve" else "relay.started"
        line = json.loads(await line_with(process.stderr, fact))
        page = json.loads(await line_with(process.stderr, "page.serving"))["address"]
        yield Started(process=process, address=line.get("address", ""), page=page)
    finally:
        send_signal(process, signal.SIGTERM)
        finished = await finish(process)
    assert finished.status == 0, finished.err
