"""`webhooks-server serve`."""

import gc

from webhooks_server.cli.options import ServerOptions
from webhooks_server.settings import Settings


def serve(*, settings: ServerOptions = None) -> int:
    """Run the server until it is told to stop (SIGTERM, Ctrl-C).

    It takes events over gRPC, keeps them in one SQLite file, and sends them to subscribers. Nothing
    needs to be set to try it.

        webhooks-server serve --data-dir /var/lib/webhooks
    """
    # What is imported stays; the collector would look it all over again and again meanwhile.
    gc.disable()
    from webhooks_server.app.serving import run

    gc.enable()
    return run(settings or Settings())
