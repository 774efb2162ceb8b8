"""`webhooks-server serve`."""

import gc

from webhooks_server.cli.options import ServerOptions
from webhooks_server.settings import Settings


def serve(*, settings: ServerOptions = None) -> int:
    """Run the server until it is told to stop (SIGTERM, Ctrl-C).

    It takes events over gRPC, keeps them in one SQLite file, and sends them to subscribers. Nothing
    needs to be set to try it.

        webhooks-server serve --data-dir /var/lib/webhooks

    On PostgreSQL any number of servers share a database, on one machine or many; here four, on one
    port. With --no-relay they only take events, and `relay` sends them elsewhere.

        webhooks-server serve --database-url postgresql://user:password@host/name --workers 4
    """
    chosen = settings or Settings()
    if chosen.workers > 1:
        from webhooks_server.app.workers import run_workers

        return run_workers("serve", chosen)
    # What is imported stays; the collector would look it all over again and again meanwhile.
    gc.disable()
    from webhooks_server.app.serving import run

    gc.enable()
    return run(chosen)
