"""`webhooks-server relay`."""

import gc

from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import RelayOptions
from webhooks_server.settings import RelaySettings


def relay(*, settings: RelayOptions = None) -> int:
    """Send to receivers until told to stop (SIGTERM, Ctrl-C), and take no events.

    Either what a PostgreSQL database holds, which any number of servers and relays share:

        webhooks-server relay --database-url postgresql://user:password@host/name

    Or for a server in another network, over gRPC alone. The server decides what is sent when and
    signs it; no secret that it signs with comes here. All that is needed is a way to the server,
    and one to the receivers:

        webhooks-server relay --server grpc://webhooks.internal:50051
    """
    chosen = settings or RelaySettings()
    is_away = _is_away(chosen)
    if chosen.workers > 1:
        if is_away:
            raise Misuse("--workers is for a relay on a database; start one --server after another")
        from webhooks_server.app.workers import run_workers

        return run_workers("relay", chosen)
    # What is imported stays; the collector would look it all over again and again meanwhile.
    gc.disable()
    from webhooks_server.app.relaying import run_relay, run_relay_away

    gc.enable()
    return run_relay_away(chosen) if is_away else run_relay(chosen)


def _is_away(settings: RelaySettings) -> bool:
    """Tell whether a server is meant and not a database; raises Misuse where neither or both."""
    server, database = settings.source("server"), settings.source("database_url")
    if server == database != "default":
        raise Misuse(
            "--server and --database-url are two ways to come by what is to be sent; give one"
        )
    if server == "option" or database == "default":
        if server == "default":
            raise Misuse(_neither(settings))
        return True
    return False


def _neither(settings: RelaySettings) -> str:
    ways = "--server grpc://host:port, or --database-url postgresql://user:password@host/name"
    if settings.source("data_dir") == "default":
        return f"say where to get what is to be sent: {ways}"
    return (
        f"a SQLite file belongs to the one server that runs on {settings.data_dir}, and no relay"
        f" can share it; attach to that server, or use PostgreSQL: {ways}"
    )
