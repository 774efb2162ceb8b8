"""Rows of the match index: 100,000 of them are read at a start."""

from urllib.parse import urlsplit

import pytest

from webhooks_server.domain.subscription import State
from webhooks_server.domain.target_url import host_of
from webhooks_server.storage.sql.rows.subscriptions import entry_of


def text(content: str) -> str:
    """Return a string of its own, as one that is read from a database is."""
    return content.encode().decode()


def row(number: int, **changes: object) -> list[object]:
    columns: dict[str, object] = {
        "number": number,
        "tenant": text("default"),
        "id": f"s{number}",
        "partition": number % 256,
        "version": number,
        "state": 1,
        "deleted": 0,
        "events": text('["a.*","b"]'),
        "max_in_flight": 10,
        "retry_policy": text('{"max_age":5}'),
        "max_requests_per_minute": 0,
        "failing": 0,
        "url": f"https://Example.com/{number}",
    }
    return list((columns | changes).values())


def test_equal_texts_of_many_entries_are_kept_once() -> None:
    first, second = entry_of(row(1)), entry_of(row(2))
    assert first.patterns == ("a.*", "b")
    assert (first.max_age, first.state, first.host) == (5, State.ACTIVE, "example.com")
    assert second.patterns is first.patterns
    assert second.tenant is first.tenant
    assert second.host is first.host


def test_an_entry_without_a_longest_age_has_none() -> None:
    assert entry_of(row(1, retry_policy="{}")).max_age is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://EXAMPLE.com/Path",
        "http://example.com:8080/x?y#z",
        "http://127.0.0.1:80",
        "https://[::1]:443/x",
        "https://user@example.com/",
        "https://user:word@example.com:1/",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://example.com:/x",
        "HTTPS://example.com/",
        "https://exa\tmple.com/",
        "https:///nothing",
        "mailto:someone",
        "",
    ],
)
def test_a_host_is_what_the_parser_says(url: str) -> None:
    assert host_of(url) == (urlsplit(url).hostname or "")
