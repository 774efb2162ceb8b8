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


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """Workers that run, each with its pid by its number, and where they serve together."""

    process: Process
    address: str
    workers: dict[int, int]


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


@contextlib.asynccontextmanager
async def several(
    command: str, url: str, *arguments: str, status: int = 0
) -> AsyncIterator[Several]:
    """Run several workers; they are told to stop at the end, and must end with this status."""
    listen = ("--listen", ANY) if command == "serve" else ()
    process = await start(
        *(command, *listen, "--log-format", "json", *arguments),
        variables={"WEBHOOKS_DATABASE_URL": url},
    )
    try:
        workers: dict[int, int] = {}
        fact = "server.serving" if command == "serve" else "relay.started"
        lines = []
        assert process.stderr is not None
        async for line in process.stderr:
            lines.append(line.decode())
            said = json.loads(line)
            if said["fact"] == "worker.started":
                workers[said["worker"]] = said["pid"]
            if said["fact"] == fact:
                break
        else:
            raise AssertionError("".join(lines))
        yield Several(process=process, address=said.get("address", ""), workers=workers)
    finally:
        send_signal(process, signal.SIGTERM)
        finished = await finish(process)
    assert finished.status == status, finished.err
