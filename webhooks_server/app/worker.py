"""One of several processes that are run as one: `python -m webhooks_server.app.worker`."""

import json
import sys

from webhooks_server.app.starter import Starter
from webhooks_server.domain.errors import WebhooksError
from webhooks_server.settings import RelaySettings, Settings


def main() -> int:
    """Do what the starter says; returns the exit status."""
    starter = Starter()
    ordered = json.loads(sys.stdin.buffer.readline())
    try:
        return _run(ordered["command"], ordered["settings"], starter)
    except WebhooksError as error:
        starter.tell(error.message)
        return 1


def _run(command: str, given: dict[str, object], starter: Starter) -> int:
    if command == "serve":
        from webhooks_server.app import serving  # noqa: PLC0415 - gRPC

        return serving.run(Settings.model_validate(given), starter)
    from webhooks_server.app import relaying  # noqa: PLC0415 - a relay needs no gRPC

    return relaying.run_relay(RelaySettings.model_validate(given), starter)


if __name__ == "__main__":
    sys.exit(main())
