"""`webhooks-server relay`."""

import gc
from typing import Annotated

from cyclopts import Parameter

from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import JsonOption, RelayOptions
from webhooks_server.settings import RelaySettings
from webhooks_server.settings.kinds import span_seconds


def relay(
    *,
    once: Annotated[
        bool, Parameter(negative="", help="Send what is due now, and end: for cron and the like.")
    ] = False,
    deadline: Annotated[
        str,
        Parameter(
            show_default=False,
            help="With --once, end by then: 90s, 10m. Then it ends with status 3.",
        ),
    ] = "",
    as_json: JsonOption = False,
    settings: RelayOptions = None,
) -> int:
    """Send to receivers until told to stop (SIGTERM, Ctrl-C), and take no events.

    Either what a PostgreSQL database holds, which any number of servers and relays share:

        webhooks-server relay --database-url postgresql://user:password@host/name

    Or for a server in another network, over gRPC alone. The server decides what is sent when and
    signs it; no secret that it signs with comes here. All that is needed is a way to the server,
    and one to the receivers:

        webhooks-server relay --server grpc://webhooks.internal:50051

    With --once it sends what is due when it starts and ends once that is settled: with status 0,
    also where receivers failed, which is retried later; with 3 where the deadline came first. That
    works on the SQLite file of a data directory, too; a server that runs there makes the pass.

        webhooks-server relay --once --data-dir /var/lib/webhooks --deadline 5m
    """
    chosen = settings or RelaySettings()
    if (deadline or as_json) and not once:
        raise Misuse("--deadline and --json are for --once")
    is_away = _is_away(chosen, once=once)
    if once:
        return _relay_once(chosen, deadline, is_away=is_away, as_json=as_json)
    return _relay(chosen, is_away=is_away)


def _relay(settings: RelaySettings, *, is_away: bool) -> int:
    if settings.workers > 1:
        if is_away:
            raise Misuse("--workers is for a relay on a database; start one --server after another")
        from webhooks_server.app.workers import run_workers

        return run_workers("relay", settings)
    # What is imported stays; the collector would look it all over again and again meanwhile.
    gc.disable()
    from webhooks_server.app.relaying import run_relay, run_relay_away

    gc.enable()
    return run_relay_away(settings) if is_away else run_relay(settings)


def _relay_once(settings: RelaySettings, deadline: str, *, is_away: bool, as_json: bool) -> int:
    if settings.workers > 1:
        raise Misuse("--once is one process; leave out --workers")
    from webhooks_server.cli.relay_pass import relay_pass

    return relay_pass(settings, _seconds(deadline), is_away=is_away, as_json=as_json)


def _seconds(deadline: str) -> float | None:
    try:
        return span_seconds(deadline) if deadline else None
    except ValueError as error:
        raise Misuse(f"--deadline {error}") from None


def _is_away(settings: RelaySettings, *, once: bool) -> bool:
    """Tell whether a server is meant and not a database; raises Misuse where neither or both."""
    server, database = settings.source("server"), settings.source("database_url")
    if server == database != "default":
        raise Misuse(
            "--server and --database-url are two ways to come by what is to be sent; give one"
        )
    if once and settings.source("data_dir") == "option":
        if "option" in {server, database} or database == "environment":
            raise Misuse("--data-dir is one database, and another one is given too; give one")
        return False
    if server == "option":
        return True
    if database != "default":
        return False
    if server == "default" and not once:
        raise Misuse(_neither(settings))
    return server != "default"


def _neither(settings: RelaySettings) -> str:
    ways = "--server grpc://host:port, or --database-url postgresql://user:password@host/name"
    if settings.source("data_dir") == "default":
        return f"say where to get what is to be sent: {ways}"
    return (
        f"a SQLite file belongs to the one server that runs on {settings.data_dir}, and no relay"
        f" can share it; attach to that server, or use PostgreSQL: {ways}"
    )
