"""What the relay makes of whatever a receiver does (reliability.md, 5)."""

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.harness.egress import HERE
from tests.integration.relay_receiver import OK, Answer, post, receiving, says
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.times import DAY, SECOND
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Relay
from webhooks_server.relay import RelayConfig, open_relay


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    async with open_relay(RelayConfig(egress=HERE), SystemClock()) as opened:
        yield opened


def head(status: int | str, *lines: str) -> bytes:
    text = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 {status} Reason\r\n{text}\r\n".encode()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 205, 206, 207, 226, 299])
async def test_2xx_is_success(relay: Relay, status: int) -> None:
    async with receiving(says(head(status, "Content-Length: 0"))) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.SUCCEEDED, status)
    assert result.error_message == ""


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_3xx_is_a_redirect(relay: Relay, status: int) -> None:
    answer = head(status, "Location: http://127.0.0.1:1/", "Content-Length: 0")
    async with receiving(says(answer)) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.REDIRECT, status)
    assert result.error_message.startswith("redirect: ")
    assert ("Location", "http://127.0.0.1:1/") in result.headers


FAILED = [400, 401, 403, 404, 405, 406, 410, 411, 413, 415, 422, 500, 501, 505, 507, 511, 599]
THROTTLES = [408, 425, 429, 502, 503, 504]


@pytest.mark.parametrize(
    ("status", "word"),
    [*((status, "failed") for status in FAILED), *((status, "throttle") for status in THROTTLES)],
)
async def test_4xx_and_5xx_are_http_errors(relay: Relay, status: int, word: str) -> None:
    async with receiving(says(head(status, "Content-Length: 0"))) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.HTTP_ERROR, status)
    assert result.error_message == f"{word}: answered {status}"


async def test_switching_protocols_is_no_success(relay: Relay) -> None:
    answer = head(101, "Upgrade: websocket", "Connection: upgrade") + b"\x81\x02hi"
    async with receiving(says(answer)) as receiver:
        results = [await relay.send(receiver.request()) for _ in range(2)]
    assert [result.outcome for result in results] == [Outcome.HTTP_ERROR] * 2
    assert [result.status_code for result in results] == [101] * 2
    assert receiver.connections == 2


async def test_interim_answers_are_passed_over(relay: Relay) -> None:
    interim = head(103, "Link: </a>") + head(100) + head(199)
    async with receiving(says(interim + OK)) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code, result.body) == (Outcome.SUCCEEDED, 200, b"ok")


@pytest.mark.parametrize("status", ["000", "099", "600", "999"])
async def test_status_outside_of_http_is_a_protocol_error(relay: Relay, status: str) -> None:
    async with receiving(says(head(status, "Content-Length: 0"))) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.PROTOCOL_ERROR, int(status))


MALFORMED = {
    "negative status": head("-20"),
    "no space after the status": b"HTTP/1.1 200OK\r\n\r\n",
    "long status": head("2000"),
    "words as status": head("abc"),
    "http 0.9": b"hello\n",
    "ssh": b"SSH-2.0-OpenSSH_9\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "negative length": head(200, "Content-Length: -2"),
    "huge length": head(200, "Content-Length: 99999999999999999999999"),
    "two lengths": head(200, "Content-Length: 2", "Content-Length: 3") + b"ok",
    "length and chunks": head(200, "Content-Length: 2", "Transfer-Encoding: chunked"),
    "NUL in a header": head(200, "X-A: a\0b"),
    "1 MB header": head(200, "X-A: " + "a" * 1_000_000),
    "1 MB reason": b"HTTP/1.1 200 " + b"a" * 1_000_000 + b"\r\n\r\n",
    "100,000 headers": head(200, *["X-A: a"] * 100_000),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_not_http_is_a_protocol_error(relay: Relay, answer: bytes) -> None:
    async with receiving(says(answer)) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.PROTOCOL_ERROR, 0)
    assert result.error_message == "protocol_error: the answer is not valid HTTP"


# Each in one write: whatever is wrong behind the head comes together with the head.
BROKEN_BEHIND_THE_HEAD = {
    "204 with a body": head(204) + b"ok",
    "204 with a length": head(204, "Content-Length: 2") + b"ok",
    "no chunk size": head(200, "Transfer-Encoding: chunked") + b"zz\r\nhello",
    "chunk longer than said": head(200, "Transfer-Encoding: chunked") + b"2\r\nhello\r\n",
    "longer than said": head(200, "Content-Length: 2") + b"okHTTP/9",
    "no gzip": head(200, "Content-Encoding: gzip", "Content-Length: 2") + b"ok",
}


@pytest.mark.parametrize(
    "answer", BROKEN_BEHIND_THE_HEAD.values(), ids=BROKEN_BEHIND_THE_HEAD.keys()
)
async def test_status_stands_whatever_comes_behind_it(relay: Relay, answer: bytes) -> None:
    async with receiving(says(answer)) as receiver:
        result = await relay.send(receiver.request())
        again = await relay.send(receiver.request())
    assert result.outcome is again.outcome is Outcome.SUCCEEDED
    assert result.latency < SECOND


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_status_stands_when_the_head_comes_in_pieces(relay: Relay, size: int) -> None:
    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        raw = head(200, "Transfer-Encoding: chunked") + b"zz\r\n"
        for start in range(0, len(raw), size):
            writer.write(raw[start : start + size])
            await asyncio.sleep(0)

    async with receiving(answer) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.latency < SECOND) == (Outcome.SUCCEEDED, True)


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 2", head(200)[:-2]])
async def test_end_before_an_answer_is_a_connection_error(relay: Relay, after: bytes) -> None:
    async with receiving(says(after, close=True)) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.status_code) == (Outcome.CONNECTION_ERROR, 0)
    assert result.error_message.startswith("connection_reset: ")


def resets_after(raw: bytes) -> Answer:
    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        await asyncio.sleep(0.05)
        # An end without lingering is a reset.
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


async def test_reset_before_the_status_is_a_connection_error(relay: Relay) -> None:
    async with receiving(resets_after(b"HTTP/1.1 200")) as receiver:
        result = await relay.send(receiver.request())
    assert result.outcome is Outcome.CONNECTION_ERROR


@pytest.mark.parametrize(
    "answer",
    [
        resets_after(head(200, "Content-Length: 10") + b"abc"),
        says(head(200, "Content-Length: 10") + b"abc", close=True),
        says(head(200, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n", close=True),
        says(head(200) + b"abc", close=True),
    ],
    ids=["reset", "end within the length", "end without a last chunk", "end is the end"],
)
async def test_status_stands_when_the_body_breaks_off(relay: Relay, answer: Answer) -> None:
    async with receiving(answer) as receiver:
        result = await relay.send(receiver.request())
    assert (result.outcome, result.body) == (Outcome.SUCCEEDED, b"abc")


async def test_answer_before_the_body_was_read_counts(relay: Relay) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(413, "Connection: close", "Content-Length: 0"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for size in (10, 100_000, 3_000_000):
            result = await relay.send(post(url, body=bytes(size)))
            assert (result.outcome, result.status_code) == (Outcome.HTTP_ERROR, 413)


async def test_nobody_listening_is_a_connection_error(relay: Relay) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await relay.send(post(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    assert result.outcome is Outcome.CONNECTION_ERROR
    assert result.error_message == "connection_refused: nothing listens there"
    assert result.remote_ip_address == ""


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("3", 3 * SECOND),
        ("0.5", SECOND // 2),
        ("1000000000000", DAY),
        ("-1", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
async def test_retry_after_is_read(relay: Relay, value: str, wait: int | None) -> None:
    answer = head(503, f"retry-after: {value}", "Content-Length: 0")
    async with receiving(says(answer)) as receiver:
        assert (await relay.send(receiver.request())).retry_after == wait


async def test_a_file_limit_of_this_process_is_our_fault(relay: Relay) -> None:
    async with receiving(says(OK)) as receiver:
        request = receiver.request()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            result = await relay.send(request)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert result.is_ours
        assert result.outcome is Outcome.CONNECTION_ERROR
        assert result.error_message == "local_error: this relay could not open a connection"
        assert not (await relay.send(request)).is_ours
