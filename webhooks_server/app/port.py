"""One port for several processes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.errors import StartError


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """Keep an address, `host:port`, for processes that share it; yields it with its port.

    Nothing listens here, so that no connection comes to whoever only keeps it. The kernel spreads
    connections over those that listen. Raises StartError where another program is there.
    """
    with ExitStack() as stack:
        try:
            host, port = split_address(listen)
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found:
                # Another server that shares its port would share it with these, without a word.
                with _bound(family, (address[0], port), shared=False):
                    pass
                kept = stack.enter_context(_bound(family, (address[0], port), shared=True))
                port = kept.getsockname()[1]
        except OSError:
            raise StartError(
                f"cannot listen on {listen}: is another server running there?"
            ) from None
        yield f"{listen.rpartition(':')[0]}:{port}"


def _bound(family: int, address: tuple[str | int, int], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
