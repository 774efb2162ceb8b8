"""One deadline, and caps on everything that a receiver can make us read or hold."""

import asyncio
import gzip
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.harness.egress import HERE
from tests.integration.relay_receiver import OK, Answer, never, post, receiving, says, until
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.errors import AddressIsBusy
from webhooks_server.domain.times import SECOND
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Relay
from webhooks_server.relay import RelayConfig, open_relay

GRACE = SECOND // 4
SLACK = 64 * 1024


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    async with open_relay(RelayConfig(egress=HERE), SystemClock()) as opened:
        yield opened


def drips(begin: bytes, drop: bytes) -> Answer:
    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        for _ in range(1000):
            await asyncio.sleep(0.02)
            writer.write(drop)
            await writer.drain()

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        never,
        drips(b"HTTP/1.1 200 OK\r\n", b"X"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["nothing", "a header without end", "headers without end", "103 without end"],
)
async def test_no_status_within_the_deadline_is_a_timeout(relay: Relay, answer: Answer) -> None:
    async with receiving(answer) as receiver:
        result = await relay.send(receiver.request(timeout=0.3))
        await until(lambda: receiver.closed_by_sender == 1 or answer is never)
    assert (result.outcome, result.status_code) == (Outcome.TIMEOUT, 0)
    assert result.error_message == "timeout: no answer in time"
    assert result.remote_ip_address == "127.0.0.1"
    assert 0.3 * SECOND <= result.latency <= 0.3 * SECOND + GRACE


async def test_receiver_that_does_not_read_is_a_timeout(relay: Relay) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        result = await relay.send(post(url, timeout=0.3, body=bytes(3_000_000)))
    assert result.outcome is Outcome.TIMEOUT
    assert result.latency <= 0.3 * SECOND + GRACE


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """Listen where no further connection comes about: the queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            opened = socket.socket()
            opened.setblocking(False)
            opened.connect_ex(address)
            waiting.append(opened)
        await asyncio.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{address[1]}/"
        finally:
            for opened in waiting:
                opened.close()


@pytest.mark.parametrize(("connect", "deadline"), [(0.3, 5.0), (5.0, 0.3)])
async def test_no_connection_in_time_is_a_connect_timeout(connect: float, deadline: float) -> None:
    config = RelayConfig(egress=HERE, connect_timeout=connect)
    async with open_relay(config, SystemClock()) as relay, black_hole() as url:
        result = await relay.send(post(url, timeout=deadline))
    assert result.outcome is Outcome.TIMEOUT
    assert result.error_message == "connect_timeout: no connection in time"
    assert 0.3 * SECOND <= result.latency <= 0.3 * SECOND + GRACE


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
    ],
)
async def test_body_that_drips_costs_no_more_than_the_deadline(relay: Relay, begin: bytes) -> None:
    async with receiving(drips(begin, b"x")) as receiver:
        result = await relay.send(receiver.request(timeout=0.3))
        await until(lambda: receiver.closed_by_sender == 1)
    assert (result.outcome, result.status_code) == (Outcome.SUCCEEDED, 200)
    assert result.latency <= 0.3 * SECOND + GRACE
    assert set(result.body) == set(b"x")


@pytest.mark.parametrize("status", [200, 302, 500])
@pytest.mark.parametrize("kept", [0, 100, 16 * 1024, 40_000])
async def test_endless_body_is_cut_and_the_connection_closed(status: int, kept: int) -> None:
    sent = 0

    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 %d R\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        # Whatever the receiver may count as sent but the relay never took is kept small.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.transport.set_write_buffer_limits(0)
        for _ in itertools.repeat(None, 10_000):
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            sent += 1024

    config = RelayConfig(egress=HERE, kept_body_bytes=kept)
    async with open_relay(config, SystemClock()) as relay, receiving(answer) as receiver:
        result = await relay.send(receiver.request())
        await until(lambda: receiver.closed_by_sender == 1)
    assert result.status_code == status
    assert (result.body, result.body_truncated) == (b"x" * kept, True)
    assert sent <= max(kept, 16 * 1024) + 2 * SLACK


@pytest.mark.parametrize(
    ("size", "kept", "truncated"),
    [
        (0, 10, False),
        (10, 10, False),
        (11, 10, True),
        (16_384, 10, True),
        (5, 0, True),
        (0, 0, False),
    ],
)
async def test_what_is_kept_of_a_body(size: int, kept: int, *, truncated: bool) -> None:
    raw = f"HTTP/1.1 500 R\r\nContent-Length: {size}\r\n\r\n".encode() + b"y" * size
    config = RelayConfig(egress=HERE, kept_body_bytes=kept)
    async with open_relay(config, SystemClock()) as relay, receiving(says(raw)) as receiver:
        result = await relay.send(receiver.request())
        await relay.send(receiver.request())
    assert (result.body, result.body_truncated) == (b"y" * min(size, kept), truncated)
    assert receiver.connections == 1


async def test_body_is_kept_as_it_came(relay: Relay) -> None:
    zipped = gzip.compress(bytes(10_000_000))
    raw = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(zipped)}\r\n\r\n"
    async with receiving(says(raw.encode() + zipped)) as receiver:
        result = await relay.send(receiver.request())
    assert result.body == zipped[: 16 * 1024]


async def test_headers_are_kept_up_to_the_cap_and_the_location_always() -> None:
    lines = [*(f"X-{number:03}: {'v' * 95}" for number in range(100)), "Location: /a"]
    raw = "HTTP/1.1 302 R\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    config = RelayConfig(egress=HERE, kept_header_bytes=1000)
    async with (
        open_relay(config, SystemClock()) as relay,
        receiving(says(raw.encode())) as receiver,
    ):
        result = await relay.send(receiver.request(timeout=0.2))
    assert result.headers[0] == ("Location", "/a")
    assert [name for name, _ in result.headers[1:]] == [f"X-{number:03}" for number in range(9)]


async def test_header_that_no_store_takes_is_made_storable(relay: Relay) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-A: a\xff\xe9\r\nContent-Length: 0\r\n\r\n"
    async with receiving(says(raw)) as receiver:
        result = await relay.send(receiver.request())
    assert result.headers[0] == ("X-A", "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}")


async def test_no_more_requests_at_once_than_configured() -> None:
    running = most = 0

    async def answer(_: object, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(OK)

    config = RelayConfig(egress=HERE, concurrency=3)
    async with open_relay(config, SystemClock()) as relay, receiving(answer) as receiver:
        sends = (relay.send(receiver.request(timeout=0.15)) for _ in range(12))
        results = await asyncio.gather(*sends)
    assert most == 3
    # Waiting for one's turn is on nobody's deadline: the last ones waited longer than it.
    assert {result.outcome for result in results} == {Outcome.SUCCEEDED}
    assert max(result.latency for result in results) < 0.15 * SECOND


@pytest.mark.parametrize("answer", [never, drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x")])
async def test_cancelled_send_closes_its_connection(relay: Relay, answer: Answer) -> None:
    ended = asyncio.Event()

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running = asyncio.ensure_future(answer(reader, writer))
        await reader.read()
        running.cancel()
        ended.set()
        raise ConnectionError

    async with receiving(watched) as receiver:
        sending = asyncio.create_task(relay.send(receiver.request()))
        await until(lambda: len(receiver.requests) == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(ended.wait(), 1)


async def test_closing_the_relay_closes_idle_connections() -> None:
    async with receiving(says(OK)) as receiver:
        async with open_relay(RelayConfig(egress=HERE), SystemClock()) as relay:
            await relay.send(receiver.request())
        await until(lambda: receiver.closed_by_sender == 1)


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_an_address_gets_no_more_requests_at_once_than_it_may(keep_alive: bool) -> None:
    """EC10: whatever host names lead to it; nothing was sent, so it is no attempt."""
    config = RelayConfig(egress=HERE, address_in_flight=2)
    async with open_relay(config, SystemClock()) as bounded, receiving(never) as hanging:
        if keep_alive:
            async with receiving(says(OK)) as other:
                assert (await bounded.send(other.request())).outcome is Outcome.SUCCEEDED
        out = [asyncio.ensure_future(bounded.send(hanging.request(timeout=0.5))) for _ in range(2)]
        await until(lambda: hanging.connections == 2)
        with pytest.raises(AddressIsBusy):
            await bounded.send(hanging.request())
        await asyncio.sleep(0.05)
        assert hanging.connections == 2
        assert [one.outcome for one in await asyncio.gather(*out)] == [Outcome.TIMEOUT] * 2
        result = await bounded.send(hanging.request(timeout=0.1))
        assert result.outcome is Outcome.TIMEOUT


async def test_an_address_gets_no_more_requests_a_second_than_it_may() -> None:
    config = RelayConfig(egress=HERE, address_requests_per_second=5)
    async with open_relay(config, SystemClock()) as bounded, receiving(says(OK)) as receiver:
        for _ in range(5):
            await bounded.send(receiver.request())
        with pytest.raises(AddressIsBusy):
            await bounded.send(receiver.request())
        await asyncio.sleep(0.25)
        assert (await bounded.send(receiver.request())).outcome is Outcome.SUCCEEDED
