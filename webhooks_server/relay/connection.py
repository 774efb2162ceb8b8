"""The pool of connections, and what one request and its answer look like on a connection.

aiohttp's pool, TLS and parser, without its session: cookies, redirects, proxies, decompression and
netrc do not exist here, bytes leave as they were signed, and a request costs a third less.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import NEEDS_CLEANUP_CLOSED, Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from webhooks_server.relay.exchange import CURRENT, Stage
from webhooks_server.relay.guard import Guard

KEEP_ALIVE_SECONDS: Final = 1.5
"""Less than servers commonly keep an idle connection (2 to 5 s): one that the receiver is just
closing takes a request with it, which costs the delivery an attempt."""
RECEIVE_BUFFER_BYTES: Final = 32 * 1024
"""Bounds what an endless answer can put into our memory at once (Linux doubles it)."""
READ_BUFFER_BYTES: Final = 16 * 1024
MAX_LINE_BYTES: Final = 8190
MAX_HEADERS: Final = 128

_HEAD_END = b"\r\n\r\n"
# All but 101, after which HTTP ends.
_INTERIM = frozenset({100, *range(102, 200)})


class HeadFirstProtocol(ResponseHandler):
    """One connection; parses the head of an answer by itself.

    aiohttp throws a chunk of bytes away as a whole where any of it is malformed. A 200 with a
    broken body in the same chunk would count as a failure, and the receiver get again what it took.
    """

    _is_resting = False
    _head_is_due = False
    _last_bytes = b""
    remote_ip_address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note whose connection this is."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.remote_ip_address = peer[0] if peer else ""

    def ask(self, head: bytes, body: bytes) -> None:
        """Write a request.

        All at once, in the step of the loop in which the pool saw the connection open. So there is
        no request of which, when it fails, it is certain that nothing of it has left.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._is_resting = False
        self._head_is_due = True
        self._last_bytes = b""
        transport.write(head + body)

    async def answer(self) -> tuple[RawResponseMessage, StreamReader]:
        """Return the head of the final answer and what its body is read from."""
        while True:
            message, content = await self.read()
            if message.code not in _INTERIM:
                return message, content

    def rest(self) -> None:
        """Expect nothing more until the next request: what comes now would pass for its answer."""
        self._is_resting = True

    def is_all_written(self) -> bool:
        """Tell whether the request has left; a receiver may answer before it took all of it."""
        return self.transport is not None and self.transport.get_write_buffer_size() == 0

    def data_received(self, data: bytes) -> None:
        """Take what has come from the receiver."""
        if self._is_resting:
            self.abort()
            return
        if self._head_is_due:
            seen = self._last_bytes + data
            end = seen.find(_HEAD_END)
            if end < 0:
                self._last_bytes = seen[-len(_HEAD_END) + 1 :]
            else:
                self._head_is_due = False
                size = end + len(_HEAD_END) - len(self._last_bytes)
                if size < len(data):
                    super().data_received(data[:size])
                    if self.exception() is not None:
                        return
                    data = data[size:]
        super().data_received(data)
        broken = self.exception()
        if broken is not None and self._payload is not None:
            # aiohttp tells nobody who waits for the rest of this body.
            self._payload.set_exception(broken)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Go on reading; aiohttp asks for it after every read, and does a good deal for nothing."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class WatchedConnector(aiohttp.TCPConnector):
    """The pool; notes in the current exchange how far a new connection is."""

    def __init__(
        self,
        resolver: AbstractResolver,
        tls: ssl.SSLContext | None,
        guard: Guard,
        check_address: Callable[[str], None],
    ) -> None:
        super().__init__(
            resolver=resolver,
            # aiohttp made a context with the system's authorities when it was imported, which takes
            # too long to do it twice: TLS 1.2 and up, certificate and host name are checked.
            ssl=True if tls is None else tls,
            # A cache of aiohttp's would keep addresses that were checked once only.
            use_dns_cache=False,
            # The relay bounds its requests itself: waiting here would count as the receiver's time.
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            enable_cleanup_closed=NEEDS_CLEANUP_CLOSED,
            socket_factory=functools.partial(_open_socket, guard, check_address),
        )
        self._factory = functools.partial(_connected, loop=self._loop)


def protocol_of(connection: Connection) -> HeadFirstProtocol:
    """Return a connection of the pool as what it is."""
    protocol = connection.protocol
    if not isinstance(protocol, HeadFirstProtocol):
        raise TypeError("not a connection of this pool")
    return protocol


def _connected(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    # The loop asks for the protocol once the TCP connection stands, and before the TLS handshake.
    CURRENT.get().stage = Stage.TLS
    return HeadFirstProtocol(loop=loop)


def _open_socket(
    guard: Guard, check_address: Callable[[str], None], address: aiohttp.AddrInfoType
) -> socket.socket:
    family, kind, protocol, _, target = address
    host = str(target[0])
    guard.check_socket(host, int(target[1]))
    check_address(host)
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return opened
