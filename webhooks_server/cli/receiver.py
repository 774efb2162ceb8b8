"""An HTTP server that shows what it receives."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from webhooks_server.cli.failures import CommandFailed
from webhooks_server.cli.verification import Verdict, verify

HOST = "127.0.0.1"
MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request, what its signatures turned out to be, and the status that it is answered with.

    There are no verdicts where no secret is known.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    verdicts: list[Verdict]
    status: int

    @property
    def is_verified(self) -> bool | None:
        """Whether every signature is right; None where that is not known."""
        if not self.verdicts:
            return None
        return not any(verdict.problem for verdict in self.verdicts)

    def as_json(self) -> dict[str, object]:
        """Return the request for programs: a body that is not UTF-8 comes as base64."""
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode()}
        return {
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            **body,
            "verified": self.is_verified,
            "verdicts": {verdict.header: verdict.problem or "ok" for verdict in self.verdicts},
            "status": self.status,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    """What a receiver answers, and after how many seconds; port 0 takes any free one."""

    port: int
    secret: str | None
    status: int
    wait: float


class Receiver:
    """Answers every request, and hands each to `show` first.

    What `show` raises ends `wait_for`: there is nobody left to show anything to.
    """

    def __init__(self, config: ReceiverConfig, show: Callable[[Received], None]) -> None:
        """Take what to answer, and what to do with each request."""
        self.port = config.port
        self._config = config
        self._show = show
        self._answered = 0
        self._changed = asyncio.Condition()
        self._broken: OSError | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block ends; requests on their way are answered."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=self._config.wait + 1)
        await runner.setup()
        try:
            self.port = await _bind(runner, self._config.port)
            yield
        finally:
            await runner.cleanup()

    async def wait_for(self, count: int | None) -> None:
        """Return after this many requests; with None never."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._broken is not None or self._answered == count
            )
        if self._broken is not None:
            raise self._broken

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        secret = self._config.secret
        received = Received(
            method=request.method,
            path=request.path_qs,
            headers=headers,
            body=body,
            verdicts=[] if secret is None else verify(secret, headers, body),
            status=self._config.status,
        )
        try:
            self._show(received)
        except OSError as error:
            self._broken = error
        await asyncio.sleep(self._config.wait)
        async with self._changed:
            self._answered += 1
            self._changed.notify_all()
        return web.Response(status=self._config.status)


async def _bind(runner: web.AppRunner, port: int) -> int:
    site = web.TCPSite(runner, HOST, port)
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CommandFailed(f"cannot listen on {HOST}:{port}: {reason}") from None
    name: tuple[str, int] = runner.addresses[0]
    return name[1]
