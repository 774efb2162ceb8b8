"""A relay: sends what a database holds, or what a server elsewhere hands it."""

import os
from collections.abc import Callable
from functools import partial

from webhooks_server import __version__
from webhooks_server.app.process import run_to_end, spare_collector, stop_signal
from webhooks_server.app.sending import open_sender, ops_config
from webhooks_server.app.starter import READY, Starter
from webhooks_server.domain.ids import IdSource
from webhooks_server.ops import LogConfig, SystemClock, configure_logs, open_ops
from webhooks_server.ports.telemetry import Field
from webhooks_server.relay.http import open_relay
from webhooks_server.settings import RelaySettings


def run_relay(settings: RelaySettings, starter: Starter | None = None) -> int:
    """Send what a shared database holds until told to stop; returns the exit status.

    With a starter it is one of several, and leaves it to that to speak for all.
    """
    return run_to_end(relay(settings, starter), settings.slots)


def run_relay_away(settings: RelaySettings) -> int:
    """Send for a server elsewhere until told to stop; returns the exit status."""
    return run_to_end(relay_away(settings), settings.slots)


async def relay(settings: RelaySettings, starter: Starter | None) -> int:
    """Send until SIGTERM or SIGINT, then stop cleanly; a second one stops at once."""
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    stop = stop_signal()
    spare_collector()
    if starter is not None:
        starter.watch(stop)
    async with open_sender(settings, "relay") as sender:
        if sender.page is not None:
            sender.page.is_ready = sender.engine.ready
        tell = _untold if starter is not None else sender.telemetry.fact
        tell("relay.settings", settings=settings.chosen())
        tell("relay.started", relay=sender.name, version=__version__, pid=os.getpid())
        sender.tell_page()
        if starter is not None:
            starter.tell(READY)
        await stop.wait()
        tell("relay.stopping", relay=sender.name)
        sender.engine.stop_taking(settings.stop_grace)
    tell("relay.stopped")
    return 0


def _untold(_name: str, /, **_: Field) -> None:
    """Leave a fact to whoever speaks for several processes."""


async def relay_away(settings: RelaySettings) -> int:
    """Send until SIGTERM or SIGINT, then stop cleanly; a second one stops at once."""
    from webhooks_server.rpc.client.remote_relay import run_remote_relay  # noqa: PLC0415 - gRPC

    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    clock = SystemClock()
    stop = stop_signal()
    spare_collector()
    config = settings.remote_config(f"relay-{IdSource(clock.wall).uid().hex()}")
    async with open_ops(ops_config(settings), clock) as ops:
        telemetry = ops.telemetry
        telemetry.fact("relay.settings", settings=settings.chosen())
        telemetry.fact("relay.started", relay=config.relay, version=__version__, pid=os.getpid())
        if ops.page is not None:
            telemetry.fact("page.serving", address=ops.page.address)

        def watch(is_attached: Callable[[], bool]) -> None:
            if ops.page is not None:
                ops.page.is_ready = partial(_answered, is_attached)

        async with open_relay(settings.away_config(), clock) as sender:
            await run_remote_relay(config, sender, clock, telemetry, stop, watch=watch)
    telemetry.fact("relay.stopped")
    return 0


async def _answered(question: Callable[[], bool]) -> bool:
    return question()
