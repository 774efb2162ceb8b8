"""The form of a target URL, by the two profiles."""

import pytest

from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.target_url import url_problem

DEVELOPMENT = EgressPolicy(allow_http=True, allow_loopback=True)
PRODUCTION = EgressPolicy(allow_http=False, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "https://example.com:8443/a?b=c",
        "https://xn--bcher-kva.example/",
        "https://93.184.216.34/",
        f"https://{'a.' * 126}a/",
        "https://[2606:4700::1111]:8443/",
    ],
)
@pytest.mark.parametrize("policy", [DEVELOPMENT, PRODUCTION])
def test_good_urls(url: str, policy: EgressPolicy) -> None:
    assert url_problem(url, policy) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/x",
        "http://localhost:1/",
        "https://[::1]/",
        "http://example.com/",
    ],
)
def test_urls_for_development(url: str) -> None:
    assert url_problem(url, DEVELOPMENT) is None
    assert url_problem(url, PRODUCTION)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "https://",
        "https:///x",
        "https://intranet/",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://example.com/#x",
        "https://example.com/#",
        "https://example.com#",
        "https://example.com\\@127.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: evil",
        "https://example.com/%0d%0aX",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:x/",
        "https://-bad-.example/",
        "https://_dmarc.example/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
        "https://[::1/",
        "https://[::]/",
        "https://0.0.0.0/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        "https://[127.0.0.1]/",
        "https://[::1]x/",
        "https://x[::1]/",
        f"https://{'a.' * 126}aa/",
        "https://a.localhost/",
        "https://localhost.localdomain/",
        "https://example.com/" + "a" * 2029,
    ],
)
def test_bad_urls(url: str) -> None:
    assert url_problem(url, DEVELOPMENT)
