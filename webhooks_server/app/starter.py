"""What a worker and whoever starts it say to each other.

The order comes as one line of JSON on the worker's standard input, which nobody else can read:
among it is the password of the database. That the input ends means that the starter is gone. On its
standard output the worker says once that it is ready, or why it never will be.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from webhooks_server.settings import SendingSettings

READY = "ready"
_INPUT = 0


class Starter:
    """Whoever started this process, and waits for word of it."""

    def watch(self, stop: asyncio.Event) -> None:
        """Have `stop` set where the starter is gone."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            if not os.read(_INPUT, 1):
                loop.remove_reader(_INPUT)
                stop.set()

        loop.add_reader(_INPUT, readable)

    def tell(self, word: object) -> None:
        """Say how the start went."""
        sys.stdout.write(json.dumps(word) + "\n")
        sys.stdout.flush()


def order(command: str, settings: SendingSettings, **changes: object) -> bytes:
    """Return the line that has a worker run a command by these settings, but for changes."""
    given: dict[str, object] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        given[name] = str(value) if isinstance(value, Path) else value
    line = json.dumps({"command": command, "settings": given | changes})
    return line.encode() + b"\n"
