"""Which targets are refused, by the URL alone and by the address alone (security.md, 1)."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.egress import PUBLIC, EgressPolicy, parse_networks
from webhooks_server.domain.target_url import canonical_url, url_problem

CASES = Path(__file__).parents[1] / "data" / "ssrf_cases.txt"
RESOLVES = "†"
OVER_HTTP = EgressPolicy(allow_http=True)
MESH = EgressPolicy(
    allow_http=True, networks=parse_networks(["10.1.0.0/16"]), hosts=("orders", "*.apps.svc")
)


def cases(*, resolve: bool) -> Iterator[str]:
    """Each http URL as it is, and as https, so that not the scheme is what is refused."""
    for line in CASES.read_text("utf-8").splitlines():
        if not line or line.startswith("#") or line.endswith(RESOLVES) is not resolve:
            continue
        url = line.removesuffix(RESOLVES).strip()
        url = url.replace("<TAB>", "\t").replace("\\r\\n", "\r\n")
        yield url
        if url.startswith("http:"):
            yield url.replace("http:", "https:", 1)


@pytest.mark.parametrize("url", [*cases(resolve=False)])
def test_a_url_that_must_never_be_reached_is_refused_when_it_is_given(url: str) -> None:
    assert url_problem(canonical_url(url), OVER_HTTP)


@pytest.mark.parametrize("url", [*cases(resolve=True)])
def test_a_name_is_taken_whatever_it_resolves_to(url: str) -> None:
    assert url_problem(url, OVER_HTTP) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://bücher.example/hook",
        "https://Straße.example:8443/hook?token=1",
        "https://日本語.example/",
    ],
)
def test_a_name_of_other_letters_is_kept_as_what_is_asked_for(url: str) -> None:
    canonical = canonical_url(url)
    assert canonical.isascii()
    assert canonical.startswith("https://xn--")
    assert canonical.partition(".example")[2] == url.partition(".example")[2]
    assert url_problem(canonical, PUBLIC) is None


@pytest.mark.parametrize(
    "url", ["https://☃\udc00.example/", "https://a..ü/", "ü", "https://ü@b.c/"]
)
def test_a_name_without_an_ascii_form_is_refused(url: str) -> None:
    assert url_problem(canonical_url(url), PUBLIC)


@pytest.mark.parametrize("port", [1, 22, 25, 79, 81, 442, 444, 1023, 2375, 5432, 6379, 27017])
def test_ports_that_no_webhook_is_received_on(port: int) -> None:
    assert "port" in (url_problem(f"https://example.com:{port}/", PUBLIC) or "")


@pytest.mark.parametrize("port", [80, 443, 1024, 8080, 65535])
def test_ports_that_are_taken(port: int) -> None:
    assert url_problem(f"https://example.com:{port}/", PUBLIC) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:81/",
        "http://orders:5432/",
        "http://a.apps.svc/",
        "http://93.184.216.34/",
        "http://[64:ff9b::a01:203]/",
    ],
)
def test_targets_inside_a_mesh_that_are_listed(url: str) -> None:
    assert url_problem(url, MESH) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.2.0.1/",
        "http://other/",
        "http://apps.svc/",
        "http://xapps.svc/",
        "http://127.0.0.1/",
        "http://localhost/",
    ],
)
def test_what_is_beside_the_lists_is_refused(url: str) -> None:
    assert url_problem(url, MESH)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"]
)
def test_metadata_takes_a_word_of_its_own(address: str) -> None:
    networks = parse_networks(["0.0.0.0/0", "::/0"])
    assert not EgressPolicy(networks=networks).allows(address)
    assert not EgressPolicy(allow_metadata=True).allows(address)
    assert EgressPolicy(networks=networks, allow_metadata=True).allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_development_reaches_this_machine(address: str) -> None:
    assert EgressPolicy(allow_loopback=True).allows(address)
    assert not PUBLIC.allows(address)


@pytest.mark.parametrize(
    "address", ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "0.0.0.0", "::", "fe80::1%lo"]
)
def test_development_reaches_nothing_else_inside(address: str) -> None:
    assert not EgressPolicy(allow_loopback=True).allows(address)


@pytest.mark.parametrize("address", ["", "localhost", "1.2.3", "0x7f.1", "1.2.3.4/32", "[::1]"])
def test_what_is_no_address_is_not_allowed(address: str) -> None:
    assert not EgressPolicy(networks=parse_networks(["0.0.0.0/0", "::/0"])).allows(address)


def embedded(address: ipaddress.IPv4Address) -> Iterator[str]:
    """The forms of IPv6 that carry the address to IPv4 without saying so plainly."""
    number = int(address)
    high, low = number >> 16, number & 0xFFFF
    yield f"::ffff:{address}"
    yield f"::{address}"
    yield f"::ffff:0:{high:x}:{low:x}"
    yield f"2002:{high:x}:{low:x}::1"
    yield f"64:ff9b:1::{high:x}:{low:x}"
    yield f"fe80::5efe:{high:x}:{low:x}"


@given(st.ip_addresses(v=4))
def test_ipv4_as_the_registry_has_it(address: ipaddress.IPv4Address) -> None:
    # The library's own reading of the registry is the judge, where it refuses; ours refuses more.
    if not address.is_global or address.is_multicast:
        assert not PUBLIC.allows(str(address))
    assert PUBLIC.allows(f"64:ff9b::{address}") is PUBLIC.allows(str(address))
    assert not any(PUBLIC.allows(form) for form in embedded(address))


@given(st.ip_addresses(v=6))
def test_ipv6_as_the_registry_has_it(address: ipaddress.IPv6Address) -> None:
    is_nat64 = address in ipaddress.ip_network("64:ff9b::/96")
    if (not address.is_global or address.is_multicast) and not is_nat64:
        assert not PUBLIC.allows(str(address))
