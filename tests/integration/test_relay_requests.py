"""What a receiver sees of a request: exactly what was signed, and nothing of ours beside it."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.harness.egress import HERE
from tests.integration.relay_receiver import HEADERS, OK, post, receiving, says
from webhooks_server.domain.delivery import Outcome
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Relay
from webhooks_server.relay import RelayConfig, open_relay


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    async with open_relay(RelayConfig(egress=HERE), SystemClock()) as opened:
        yield opened


async def test_headers_keep_their_order_and_case_and_come_once(relay: Relay) -> None:
    headers = (
        ("X-Webhook-Event", "invoice.paid"),
        ("webhook-id", "evt_1"),
        ("CONTENT-type", "application/json"),
        ("user-agent", "hookshot/1"),
        ("x-Odd-CASE", "a, b"),
        ("A-Last", "1"),
    )
    async with receiving(says(OK)) as receiver:
        result = await relay.send(post(receiver.url("/a/b"), headers=headers))
    assert result.outcome is Outcome.SUCCEEDED
    assert receiver.requests[0].lines == [
        "POST /a/b HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers),
        "Content-Length: 2",
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b'{"n": 1.0,  "s":"\\u00e9"}', b"\x00\xff\r\n\r\n", os.urandom(3 * 1024 * 1024)],
    ids=["empty", "json", "binary", "3 MiB"],
)
async def test_body_arrives_byte_for_byte(relay: Relay, body: bytes) -> None:
    async with receiving(says(OK)) as receiver:
        result = await relay.send(receiver.request(body=body))
    assert result.outcome is Outcome.SUCCEEDED
    assert receiver.requests[0].body == body


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "/"),
        ("?x=1", "/?x=1"),
        ("/a%2Fb/%7Euser/../c?sig=a%2Bb+c%3D&&e", "/a%2Fb/%7Euser/../c?sig=a%2Bb+c%3D&&e"),
    ],
)
async def test_url_is_sent_as_it_was_given(relay: Relay, given: str, sent: str) -> None:
    async with receiving(says(OK)) as receiver:
        assert (await relay.send(post(receiver.url(given)))).outcome is Outcome.SUCCEEDED
    assert receiver.requests[0].lines[0] == f"POST {sent} HTTP/1.1"


async def test_localhost_is_found(relay: Relay) -> None:
    async with receiving(says(OK)) as receiver:
        result = await relay.send(post(receiver.url(host="localhost")))
    assert (result.outcome, result.remote_ip_address) == (Outcome.SUCCEEDED, "127.0.0.1")
    assert receiver.requests[0].lines[1] == f"Host: localhost:{receiver.port}"


async def test_connection_is_used_again(relay: Relay) -> None:
    async with receiving(says(OK)) as receiver:
        for _ in range(5):
            result = await relay.send(receiver.request())
            assert (result.status_code, result.remote_ip_address) == (200, "127.0.0.1")
    assert (receiver.connections, len(receiver.requests)) == (1, 5)


async def test_connection_is_not_used_again_where_the_receiver_said_so(relay: Relay) -> None:
    closing = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    async with receiving(says(closing)) as receiver:
        for _ in range(3):
            assert (await relay.send(receiver.request())).status_code == 200
    assert receiver.connections == 3


async def test_connections_closed_without_a_word_cost_no_request(relay: Relay) -> None:
    # The receiver closes after each answer while the relay believes in keep-alive. A request that
    # may have left is not sent again here: the schedule does that, and the record shows both.
    async with receiving(says(OK, close=True)) as receiver:
        results = [await relay.send(receiver.request()) for _ in range(50)]
    outcomes = [result.outcome for result in results]
    assert set(outcomes) <= {Outcome.SUCCEEDED, Outcome.CONNECTION_ERROR}
    assert outcomes.count(Outcome.SUCCEEDED) == len(receiver.requests)
    assert len(receiver.requests) >= 25


async def test_answer_that_nobody_asked_for_answers_no_later_request(relay: Relay) -> None:
    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 500 R\r\nContent-Length: 0\r\n\r\n")

    async with receiving(answer) as receiver:
        first = await relay.send(receiver.request())
        await asyncio.sleep(0.1)
        second = await relay.send(receiver.request())
    assert [first.status_code, second.status_code] == [200, 200]
    assert receiver.connections == 2


async def test_redirect_is_never_followed(relay: Relay) -> None:
    async with receiving(says(OK)) as second:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {second.url()}\r\nContent-Length: 0\r\n\r\n"
        async with receiving(says(moved.encode())) as first:
            result = await relay.send(first.request())
    assert (result.outcome, result.status_code) == (Outcome.REDIRECT, 307)
    assert ("Location", second.url()) in result.headers
    assert second.connections == 0


async def test_cookies_are_not_kept(relay: Relay) -> None:
    setting = OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b; Path=/\r\n")
    async with receiving(says(setting)) as receiver:
        for _ in range(2):
            await relay.send(post(receiver.url(host="localhost")))
    assert b"cookie" not in receiver.requests[1].head.lower()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(says(OK)) as proxy, receiving(says(OK)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        async with open_relay(RelayConfig(egress=HERE), SystemClock()) as relay:
            assert (await relay.send(receiver.request())).outcome is Outcome.SUCCEEDED
    assert (proxy.connections, receiver.connections) == (0, 1)


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\nX-B: 2"),
        ("X-A", "1\rX-B: 2"),
        ("X-A\r\nX-B", "1"),
        ("X-A", "\0"),
    ],
)
async def test_header_that_would_break_the_lines_is_not_sent(
    relay: Relay, header: tuple[str, str]
) -> None:
    async with receiving(says(OK)) as receiver:
        result = await relay.send(post(receiver.url(), headers=(*HEADERS, header)))
    assert (result.outcome, receiver.connections) == (Outcome.INTERNAL, 0)


@pytest.mark.parametrize(
    "url",
    ["http://[::1/", "http://h:99999/", "ftp://127.0.0.1/", "//h/", "http:///a", "http://h/a b"],
)
async def test_url_that_nothing_can_be_sent_to_is_an_outcome(relay: Relay, url: str) -> None:
    result = await relay.send(post(url))
    assert result.outcome is Outcome.INTERNAL
    assert result.error_message == "internal: this request cannot be sent"
