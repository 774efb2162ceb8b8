"""The check of a subscription's URL at write time: its form, and what the profile allows.

Two parsers take each URL apart, that of the standard library and the one whose result the relay
connects by, and have to agree on host and port: what one reads differently is how guards are
evaded. Names are never resolved here; where they lead is looked at when a request is sent.
"""

import ipaddress
import re
import sys
from urllib.parse import SplitResult, urlsplit

import idna
from yarl import URL

from webhooks_server.domain.bounds import MAX_URL
from webhooks_server.domain.egress import LOOPBACK_NAME, EgressPolicy

_NOT_PUBLIC = "must name a public address"
_FORM = "must be an absolute URL such as https://example.com/hook"
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_AUTHORITY = re.compile(
    r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://)(?P<host>[^/?#\[\]:@\\]+)(?P<after>.*)"
)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|20|7[fF])")
_PLAIN_HOST = re.compile(r"https?://([A-Za-z0-9._-]+)(?::[0-9]*)?(?:[/?#]|$)")
_BRACKETS = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_LONGEST_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_WEB_PORTS = (80, 443)
_LEAST_FREE_PORT = 1024
# Names that mean something inside a network only (RFC 6761, 6762, 7686, 8375, 9476 and habit).
_INSIDE = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "arpa", "svc", "onion", "alt"}
    | {"lan", "home", "corp", "private"}
)
# Where services listen that take commands from whoever connects: Docker, MySQL, PostgreSQL,
# Redis, Elasticsearch, memcached, MongoDB, etcd, the Kubernetes API and kubelet, X11, Consul.
_PORTS_OF_SERVICES = frozenset(
    {2049, 2375, 2376, 2379, 2380, 3306, 5432, 5984, 6000, 6379, 6443, 8500}
    | {9042, 9200, 9300, 10250, 11211, 27017}
)


def canonical_url(url: str) -> str:
    """Return the URL with its host as a name of ASCII letters, where it is of other ones.

    By IDNA 2008 with the mapping of UTS 46. What cannot be mapped is returned as it is: the check
    names what is wrong with it.
    """
    if url.isascii():
        return url
    parts = _AUTHORITY.fullmatch(url)
    if parts is None or parts["host"].isascii():
        return url
    try:
        host = idna.encode(parts["host"], uts46=True, strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return url
    return f"{parts['before']}{host}{parts['after']}"


def url_problem(url: str, policy: EgressPolicy) -> str | None:
    """Tell what is wrong with a target URL, or None. Never resolves a name."""
    if not url:
        return "is required"
    if len(url) > MAX_URL:
        return f"must have at most {MAX_URL} characters, has {len(url)}"
    if _VISIBLE.fullmatch(url) is None or "\\" in url or _ENCODED_CONTROL.search(url):
        return "must be visible ASCII without backslashes, white space or control characters"
    if "#" in url:
        # Here, since an empty fragment is gone once the URL is taken apart.
        return "must not contain a fragment (#)"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _FORM
    return _parts_problem(parts, port, policy) or _second_opinion(url, parts, port)


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, as the caps per host count it; empty where none."""
    # Of 100,000 at a start: nearly all are plain, and need no parser.
    if plain := _PLAIN_HOST.match(url):
        return sys.intern(plain[1].lower())
    try:
        # One string for all subscriptions with this host.
        return sys.intern(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _parts_problem(parts: SplitResult, port: int | None, policy: EgressPolicy) -> str | None:
    schemes = ("https", "http") if policy.allow_http else ("https",)
    if parts.scheme not in schemes:
        return f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or password; use secret_headers"
    if port == 0:
        return "must not name port 0"
    host = parts.hostname or ""
    if not host:
        return "must name a host"
    if "[" in parts.netloc:
        if _BRACKETS.fullmatch(parts.netloc) is None:
            return "must have nothing but a port beside its brackets"
        return _bracket_problem(host, policy) or _port_problem(host, port, policy)
    return _host_problem(host, policy) or _port_problem(host, port, policy)


def _bracket_problem(host: str, policy: EgressPolicy) -> str | None:
    # A zone means something on one machine alone, and a "future" address nowhere yet (RFC 3986).
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        return "must have an IPv6 address without a zone in its brackets"
    return None if policy.allows(host) else _NOT_PUBLIC


def _host_problem(host: str, policy: EgressPolicy) -> str | None:
    if policy.names(host):
        return _labels_problem(host, fewest=1)
    if host == LOOPBACK_NAME:
        return None if policy.allow_loopback else _NOT_PUBLIC
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return _labels_problem(host, fewest=2) or _name_problem(host)
    return None if policy.allows(host) else _NOT_PUBLIC


def _labels_problem(host: str, fewest: int) -> str | None:
    if len(host) > _LONGEST_NAME:
        return f"must name a host of at most {_LONGEST_NAME} characters"
    labels = host.split(".")
    if len(labels) < fewest or not all(_LABEL.fullmatch(label) for label in labels):
        return "must name a host by an address or by a full domain name"
    if labels[-1].isdecimal() or labels[-1].startswith("0x"):
        return "must name a host by an address in its plain form or by a full domain name"
    return None


def _name_problem(host: str) -> str | None:
    last = host.rpartition(".")[2]
    if last in _INSIDE:
        return f"must not name a host under .{last}, which is inside some network"
    return None


def _port_problem(host: str, port: int | None, policy: EgressPolicy) -> str | None:
    """Refuse what no webhook is received on; targets that a setting opens may have any port."""
    if port is None or port in _WEB_PORTS or policy.opens(host):
        return None
    if port < _LEAST_FREE_PORT:
        return f"must name port 443, 80, or one from {_LEAST_FREE_PORT} on"
    if port in _PORTS_OF_SERVICES:
        return "must not name the port of a database or another service within networks"
    return None


def _second_opinion(url: str, parts: SplitResult, port: int | None) -> str | None:
    try:
        second = URL(url, encoded=True)
        agree = (second.raw_host, second.explicit_port) == (parts.hostname, port)
    except ValueError:
        agree = False
    return None if agree else _FORM
