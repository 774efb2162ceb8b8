"""The check of a subscription's URL at write time: its form, and what the profile allows."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from webhooks_server.domain.bounds import MAX_URL

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|20|7[fF])")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LOOPBACK_NAMES = frozenset({"localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
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
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "must be an absolute URL such as https://example.com/hook"
    return _parts_problem(parts, port, policy)


def _parts_problem(parts: SplitResult, port: int | None, policy: UrlPolicy) -> str | None:
    schemes = ("https", "http") if policy.allow_http else ("https",)
    if parts.scheme not in schemes:
        return f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or password; use secret_headers"
    if parts.fragment:
        return "must not contain a fragment (#)"
    if port == 0:
        return "must not name port 0"
    host = parts.hostname or ""
    if not host:
        return "must name a host"
    return _host_problem(host, policy)


def _host_problem(host: str, policy: UrlPolicy) -> str | None:
    if host in _LOOPBACK_NAMES:
        return None if policy.allow_loopback else "must not name this machine"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _host_name_problem(host)
    if address.is_loopback:
        return None if policy.allow_loopback else "must not name this machine"
    return None


def _host_name_problem(host: str) -> str | None:
    labels = host.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        return "must name a host by an address or by a full domain name"
    if labels[-1].isdecimal() or labels[-1].startswith("0x"):
        return "must name a host by an address in its plain form or by a full domain name"
    return None
