"""The check of a subscription's URL at write time: its form, and what the profile allows."""

import ipaddress
import re
import sys
from urllib.parse import SplitResult, urlsplit

from webhooks_server.domain.bounds import MAX_URL
from webhooks_server.domain.values import value

_THIS_MACHINE = "must not name this machine"
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|20|7[fF])")
_BRACKETS = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_LONGEST_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LOOPBACK_NAME = "localhost"
_LOOPBACK_SUFFIXES = (".localhost", ".localdomain")


@value
class UrlPolicy:
    """What a profile allows: plain http, and targets on this machine."""

    allow_http: bool
    allow_loopback: bool


def url_problem(url: str, policy: UrlPolicy) -> str | None:
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
        return "must be an absolute URL such as https://example.com/hook"
    return _parts_problem(parts, port, policy)


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, as the caps per host count it; empty where none."""
    try:
        # One string for all subscriptions with this host.
        return sys.intern(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _parts_problem(parts: SplitResult, port: int | None, policy: UrlPolicy) -> str | None:
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
        return _bracket_problem(host, policy)
    return _host_problem(host, policy)


def _bracket_problem(host: str, policy: UrlPolicy) -> str | None:
    # A zone means something on one machine alone, and a "future" address nowhere yet (RFC 3986).
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        return "must have an IPv6 address without a zone in its brackets"
    return _address_problem(address.ipv4_mapped or address, policy)


def _host_problem(host: str, policy: UrlPolicy) -> str | None:
    if host == _LOOPBACK_NAME:
        return None if policy.allow_loopback else _THIS_MACHINE
    if host.endswith(_LOOPBACK_SUFFIXES):
        return _THIS_MACHINE
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return _host_name_problem(host)
    return _address_problem(address, policy)


def _address_problem(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, policy: UrlPolicy
) -> str | None:
    if address.is_unspecified:
        return _THIS_MACHINE
    if address.is_loopback:
        return None if policy.allow_loopback else _THIS_MACHINE
    return None


def _host_name_problem(host: str) -> str | None:
    if len(host) > _LONGEST_NAME:
        return f"must name a host of at most {_LONGEST_NAME} characters"
    labels = host.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        return "must name a host by an address or by a full domain name"
    if labels[-1].isdecimal() or labels[-1].startswith("0x"):
        return "must name a host by an address in its plain form or by a full domain name"
    return None
