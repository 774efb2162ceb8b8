"""What somebody who starts a server for the first time reads."""

import shlex
import sys
from pathlib import Path

from webhooks_server.domain.addresses import split_address

_DEFAULT_ADDRESS = "127.0.0.1:50051"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - looked for, not listened on
# One that signs by Standard Webhooks too, as a passphrase does not.
_SECRET = "whsec_YSBxdWljayBzdGFydCBzZWNyZXQgb2YgMzIgYnl0ZXM="  # noqa: S105 - printed for everybody to see


def next_steps(address: str) -> str:
    """Return the commands to try against a server that listens on this address."""
    there = _reachable(address)
    server = "" if there == _DEFAULT_ADDRESS else f" --server {shlex.quote(there)}"
    program = _program()
    return f"""
The server is ready on {address}. Paste these, the second in a terminal of its own:

  {program} subscribe http://127.0.0.1:8080 'invoice.*' --secret {_SECRET}{server}
  {program} listen --secret {_SECRET}
  {program} publish invoice.paid '{{"amount": 12}}'{server}

"""


def _reachable(address: str) -> str:
    """Return an address by which this machine reaches what listens on the given one."""
    host, port = split_address(address)
    return f"{_ANY[host]}:{port}" if host in _ANY else address


def _program() -> str:
    """Return how this program was called, so that it can be called again from the same place."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return shlex.join((sys.executable, "-m", called.parent.name))
    return shlex.quote(str(called))
