"""One relay pass in a process of its own: what is due is sent, and that is it (`relay --once`)."""

import asyncio
import os

from webhooks_server import __version__
from webhooks_server.app.process import raise_file_limit, stop_signal
from webhooks_server.app.sending import open_sender
from webhooks_server.domain.errors import ShuttingDown
from webhooks_server.domain.lanes import PassResult
from webhooks_server.ops import LogConfig, configure_logs
from webhooks_server.settings import RelaySettings


async def relay_once(settings: RelaySettings, within: float | None) -> PassResult:
    """Send what is due, and return once that is settled, or after so many seconds.

    On PostgreSQL the engine takes what nobody owns, and has those that live do what is theirs; it
    counts for nobody's share (engine.md, EC7). Raises ShuttingDown at SIGTERM or SIGINT.
    """
    raise_file_limit(settings.slots)
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    stop = stop_signal()
    async with open_sender(settings, "once", transient=True) as sender:
        if sender.page is not None:
            sender.page.is_ready = sender.engine.ready
        sender.telemetry.fact("relay.settings", settings=settings.chosen())
        sender.telemetry.fact(
            "relay.started", relay=sender.name, version=__version__, pid=os.getpid()
        )
        sender.tell_page()
        passing = asyncio.create_task(sender.engine.notify(None, within))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({passing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        sender.engine.stop_taking(settings.stop_grace)
        try:
            result = await passing
        except ShuttingDown:
            raise ShuttingDown("told to stop before everything was sent") from None
    sender.telemetry.fact("relay.stopped")
    return result
