"""One request and what is known of it so far: a broken answer counts for what has come."""

from contextvars import ContextVar
from enum import IntEnum

from webhooks_server.domain.signing import Header


class Stage(IntEnum):
    """How far a request has come."""

    CONNECTING = 1
    RESOLVING = 2
    TLS = 3
    SENT = 4


class Exchange:
    """What is known of one request, filled in by whoever learns something."""

    __slots__ = (
        "body",
        "body_truncated",
        "headers",
        "is_counted",
        "remote_ip_address",
        "retry_after",
        "stage",
        "status_code",
    )

    def __init__(self) -> None:
        self.stage = Stage.CONNECTING
        self.remote_ip_address = ""
        self.status_code: int | None = None
        self.headers: tuple[Header, ...] = ()
        self.retry_after: str | None = None
        self.is_counted = False
        self.body = b""
        self.body_truncated = False


CURRENT: ContextVar[Exchange] = ContextVar("current exchange")
"""The exchange that the running code works for.

aiohttp cannot hand something of ours through to the connector, the resolver and the protocol.
A context variable follows the request there, also into the tasks that race for a connection.
"""
