"""Which addresses and hosts requests may go to: the rule, without any I/O (security.md, 1)."""

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence

from webhooks_server.domain.values import value

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_KNOWN_VERDICTS = 4096
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in " ".join(texts).split())


# Whatever IANA's registry of special purposes does not give to the public internet, and Azure's
# channel to the host of a machine, which hides at a public address.
_SPECIAL_4 = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24",
    "192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24",
    "198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32",
)
# The other way round: nothing is public but this block, without the parts of it that carry IPv4
# addresses, are for documentation, or belong to protocols.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = _networks("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
# Networks without IPv4 reach IPv4 through it, so the address inside decides.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where clouds hand credentials to whoever asks from inside: link-local, Azure, Alibaba, Oracle,
# and the IPv6 forms of Amazon and Google.
_METADATA = _networks(
    "169.254.0.0/16 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32",
    "fd00:ec2::/32 fd20:ce::254/128",
)
LOOPBACK_NAME = "localhost"
_LOOPBACK = _networks("127.0.0.0/8 ::1/128")


@value
class EgressPolicy:
    """What requests may reach beside public addresses, and how.

    `networks` are address ranges, `hosts` names or `*.suffix`; both are for targets inside a mesh.
    A host that is listed may have any form of name, not any address: that is for `networks`.
    Neither opens the addresses of cloud metadata: that takes `allow_metadata` as well.
    """

    allow_http: bool = False
    allow_loopback: bool = False
    allow_metadata: bool = False
    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()

    def allows(self, address: str) -> bool:
        """Tell whether a connection to this address may be opened; what is no address may not."""
        return _verdict(self, address)

    def opens(self, host: str) -> bool:
        """Tell whether a setting opens this host or address beyond what is public."""
        if self.names(host) or (host == LOOPBACK_NAME and self.allow_loopback):
            return True
        return self.allows(host) and not PUBLIC.allows(host)

    def names(self, host: str) -> bool:
        """Tell whether the host, in lower case, is on the list."""
        return any(
            host == listed or (listed.startswith("*.") and host.endswith(listed[1:]))
            for listed in self.hosts
        )


PUBLIC = EgressPolicy()
"""Public addresses over https, and nothing else."""


@functools.lru_cache(maxsize=_KNOWN_VERDICTS)
def _verdict(policy: EgressPolicy, text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if policy.allow_loopback and _is_in(address, _LOOPBACK):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    is_listed = _is_in(address, policy.networks)
    if _is_in(address, _METADATA):
        return is_listed and policy.allow_metadata
    return is_listed or is_public(address)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, by its own form alone."""
    if isinstance(address, ipaddress.IPv4Address):
        return not _is_in(address, _SPECIAL_4)
    return address in _PUBLIC_6 and not _is_in(address, _SPECIAL_6)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Take address ranges such as 10.0.0.0/8; raises ValueError with what is wrong."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is no range of addresses such as 10.0.0.0/8") from error
    return tuple(found)


def listed_host_problem(host: str) -> str | None:
    """Tell what is wrong with an entry of the list of hosts, or None."""
    name = host.removeprefix("*.")
    if _NAME.fullmatch(name) is None or name.replace(".", "").isdecimal():
        return f"{host!r} is no host name such as orders or *.apps.svc"
    return None


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
