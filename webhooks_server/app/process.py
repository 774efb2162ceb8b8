"""What a process needs to run a server or a relay, whatever that is made of."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine

from webhooks_server.domain.errors import InvalidSettings

FILES_BESIDE_REQUESTS = 256
INTERRUPTED = 130
COLLECT_AFTER = 10_000
"""How many more objects there are than there were before cycles are looked for: a few MiB."""


def run_to_end(main: Coroutine[None, None, int], slots: int) -> int:
    """Run a process that makes so many requests at once; returns the exit status."""
    raise_file_limit(slots)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def raise_file_limit(slots: int) -> None:
    """Raise the limit of open files as far as it goes; InvalidSettings where that is too low."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - does not exist everywhere

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = 2 * slots + FILES_BESIDE_REQUESTS
    if hard != resource.RLIM_INFINITY and hard < needed:
        message = f"{slots} slots need {needed} open files, the limit is {hard} (ulimit -n)"
        raise InvalidSettings(message)


def spare_collector() -> None:
    """Let the collector of cycles look at less, and less often.

    What exists now lives as long as the process and need not be looked at again. To collect first
    would hold up the first calls, for next to nothing. After that an event makes dozens of objects
    and no cycle: by Python's default of 700 the search for them is a twelfth of all its time.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def stop_signal() -> asyncio.Event:
    """Return what is set by the first SIGTERM or SIGINT; the second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED if number is signal.SIGINT else 1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - does not exist everywhere

    return uvloop.new_event_loop
