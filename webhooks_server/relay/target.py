"""Where a request goes, and its head as bytes."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from webhooks_server.domain.signing import Header

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_SCHEMES = frozenset({"http", "https"})


class UnsendableError(Exception):
    """Nothing can be sent to this URL, or with these headers."""


class Route(aiohttp.ClientRequest):
    """Where a request goes, for the pool of connections; which asks for the key again and again."""

    @functools.cached_property
    def connection_key(self) -> ConnectionKey:
        """By what connections are kept apart."""
        return super().connection_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL as the pool of connections wants it, and the beginning of each request to it."""

    route: aiohttp.ClientRequest
    beginning: str


def aim(text: str) -> Target:
    """Take a URL apart; it is sent as it was given, since receivers put tokens into it.

    Raises UnsendableError. The forms that people may give were checked when it was stored.
    """
    if _VISIBLE.fullmatch(text) is None:
        raise UnsendableError
    try:
        url = URL(text, encoded=True)
        host, path = url.host_port_subcomponent, url.raw_path_qs
    except ValueError as error:
        raise UnsendableError from error
    if url.scheme not in _SCHEMES or not host:
        raise UnsendableError
    return Target(
        route=Route("POST", url),
        beginning=f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n",
    )


def request_head(target: Target, headers: Sequence[Header], body_size: int) -> bytes:
    """Return the head: the given headers in their order and case, and beside them what must be.

    Raises UnsendableError where a header would break the lines; they were checked when stored.
    """
    given = "".join([f"{name}: {value}\r\n" for name, value in headers])
    lines = len(headers)
    if given.count("\r") != lines or given.count("\n") != lines or "\0" in given:
        raise UnsendableError
    return f"{target.beginning}{given}Content-Length: {body_size}\r\n\r\n".encode()
