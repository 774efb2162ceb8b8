"""`webhooks-server relay`."""

import gc

from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import RelayOptions
from webhooks_server.settings import RelaySettings


def relay(*, settings: RelayOptions = None) -> int:
    """Send for a server in another network until told to stop (SIGTERM, Ctrl-C).

    The server decides what is sent when and signs it; no secret that it signs with comes here. All
    that is needed is a way to the server, and one to the receivers.

        webhooks-server relay --server grpc://webhooks.internal:50051
    """
    chosen = settings or RelaySettings()
    if chosen.source("server") == "default":
        raise Misuse("say which server to send for: --server grpc://host:port")
    # What is imported stays; the collector would look it all over again and again meanwhile.
    gc.disable()
    from webhooks_server.app import run_relay

    gc.enable()
    return run_relay(chosen)
