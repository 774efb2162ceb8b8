"""Addresses of servers: host and port in one text."""

import ipaddress
import re

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)


def split_address(value: str) -> tuple[str, int]:
    """Return host, without brackets, and port; raises ValueError where value is not both."""
    parts = _ADDRESS.fullmatch(value)
    if parts is None or int(parts["port"]) > 65535:  # noqa: PLR2004
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051")
    return parts["six"] or parts["host"], int(parts["port"])


def is_loopback(address: str) -> bool:
    """Tell whether what listens on this address can be reached from this machine alone."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
