"""Where connections may lead: asked of each name that is resolved, and of each socket.

Either of the two holds alone. Only the first can refuse a name for one of several addresses, and
only the second sees what is really connected to, whatever led there.
"""

import socket
from collections.abc import Iterable, Sequence

from webhooks_server.domain.egress import EgressPolicy

_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


class BlockedAddressError(Exception):
    """Requests may not go to this address."""


class Guard:
    """Applies the policy; and never lets a server send to a listener of its own.

    `own` are the addresses and ports that this process listens on.
    """

    def __init__(self, policy: EgressPolicy, own: Sequence[tuple[str, int]] = ()) -> None:
        self._policy = policy
        self._own = frozenset(own)
        self._own_ports = frozenset(port for _, port in own)

    def check_names(self, addresses: Iterable[str]) -> None:
        """Raise BlockedAddressError where any of the addresses of a name is forbidden.

        One that is allowed does not make up for it: which one is connected to is a matter of luck,
        or of who answers the next question.
        """
        if not all(self._policy.allows(address) for address in addresses):
            raise BlockedAddressError

    def check_socket(self, address: str, port: int) -> None:
        """Raise BlockedAddressError where no socket may be opened for this address and port."""
        if not self._policy.allows(address) or self._is_own(address, port):
            raise BlockedAddressError

    def _is_own(self, address: str, port: int) -> bool:
        if port not in self._own_ports:
            return False
        if (address, port) in self._own:
            return True
        listens_everywhere = any((host, port) in self._own for host in _ANY)
        return listens_everywhere and _is_of_this_machine(address)


def _is_of_this_machine(address: str) -> bool:
    # What this machine would send to itself has one of its addresses on both ends; nothing is sent.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return False
        return str(probe.getsockname()[0]) == address
