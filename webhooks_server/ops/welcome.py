"""What somebody who starts a server for the first time reads."""

import sys
from pathlib import Path

from webhooks_server.domain.addresses import split_address

_DEFAULT_PORT = 50051
# One that signs by Standard Webhooks too, as a passphrase does not.
_SECRET = "whsec_YSBxdWljayBzdGFydCBzZWNyZXQgb2YgMzIgYnl0ZXM="  # noqa: S105 - printed for everybody to see


def next_steps(address: str) -> str:
    """Return the commands to try against a server that listens on this address."""
    _, port = split_address(address)
    server = "" if port == _DEFAULT_PORT else f" --server 127.0.0.1:{port}"
    program = _program()
    return f"""
The server is ready on {address}. Paste these, the second in a terminal of its own:

  {program} subscribe http://127.0.0.1:8080 'invoice.*' --secret {_SECRET}{server}
  {program} listen --secret {_SECRET}
  {program} publish invoice.paid '{{"amount": 12}}'{server}

"""


def _program() -> str:
    """Return how this program was called, so that it can be called again from the same place."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m {called.parent.name}"
    return str(called)
