"""TLS that does not hold up, and names that do not resolve."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.egress import HERE
from tests.integration.relay_receiver import OK, post, receiving, says
from webhooks_server.domain.delivery import Outcome
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Relay
from webhooks_server.relay import RelayConfig, open_relay

CERTIFICATES = Path(__file__).parent / "relay_certificates"
ALIVE, UNKNOWN, BROKEN, EMPTY, SILENT = ("alive", "unknown", "broken", "empty", "silent")


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    config = RelayConfig(egress=HERE, connect_timeout=0.4, ca_file=CERTIFICATES / "ca.pem")
    async with open_relay(config, SystemClock()) as opened:
        yield opened


def tls(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_good_certificate_is_taken(relay: Relay, host: str) -> None:
    async with receiving(says(OK), tls=tls("localhost")) as receiver:
        url = receiver.url(host=host, scheme="https")
        results = [await relay.send(post(url)) for _ in range(2)]
    assert [result.outcome for result in results] == [Outcome.SUCCEEDED] * 2
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("expired", "the certificate has expired"),
        ("other-host", "the certificate is for another host"),
        ("self-signed", "the certificate is self-signed"),
    ],
)
async def test_bad_certificate_is_a_tls_error(relay: Relay, name: str, problem: str) -> None:
    async with receiving(says(OK), tls=tls(name)) as receiver:
        result = await relay.send(post(receiver.url(scheme="https")))
    assert (result.outcome, result.error_message) == (Outcome.TLS_ERROR, f"tls_error: {problem}")
    assert receiver.requests == []


async def test_issuer_that_nobody_knows_is_a_tls_error() -> None:
    async with (
        open_relay(RelayConfig(egress=HERE), SystemClock()) as relay,
        receiving(says(OK), tls=tls("localhost")) as receiver,
    ):
        result = await relay.send(post(receiver.url(scheme="https")))
    assert result.error_message == "tls_error: the issuer of the certificate is not known"


async def test_old_tls_is_refused(relay: Relay) -> None:
    old = tls("localhost")
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with receiving(says(OK), tls=old) as receiver:
        result = await relay.send(post(receiver.url(scheme="https")))
    assert (result.outcome, receiver.requests) == (Outcome.TLS_ERROR, [])


async def test_receiver_that_asks_for_our_certificate_gives_a_tls_error(relay: Relay) -> None:
    asking = tls("localhost")
    asking.load_verify_locations(CERTIFICATES / "ca.pem")
    asking.verify_mode = ssl.CERT_REQUIRED

    def refuse() -> None:
        with listener.accept()[0] as accepted:
            secured = asking.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            with secured:
                with pytest.raises(ssl.SSLError):
                    secured.do_handshake()
                # Long enough for the alert to arrive before the reset does.
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        result, _ = await asyncio.gather(relay.send(post(url)), asyncio.to_thread(refuse))
    assert result.outcome is Outcome.TLS_ERROR
    assert result.error_message == "tls_error: the TLS session broke before an answer"


async def test_no_tls_there_is_a_tls_error(relay: Relay) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await relay.send(post(f"https://127.0.0.1:{port}/"))
    assert result.outcome is Outcome.TLS_ERROR
    assert result.error_message == "tls_error: the TLS handshake failed"


async def test_tls_that_never_comes_is_a_timeout(relay: Relay) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        result = await relay.send(post(f"https://127.0.0.1:{silent.getsockname()[1]}/"))
    assert result.outcome is Outcome.TIMEOUT
    assert result.error_message.startswith("tls_timeout: ")


class NameServer(asyncio.DatagramProtocol):
    """Answers by the first label of the name."""

    transport: asyncio.DatagramTransport

    def datagram_received(self, data: bytes, address: tuple[str | int, int]) -> None:
        label = data[13 : 13 + data[12]].decode()
        question = data[12 : data.index(b"\0", 12) + 5]
        wants_ipv4 = question[-4:-2] == b"\0\1"
        code = {UNKNOWN: 3, BROKEN: 2}.get(label, 0)
        answers = int(label == ALIVE and wants_ipv4)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" * answers
        if label != SILENT:
            flags = (0x8180 | code).to_bytes(2, "big")
            counts = b"\0\1" + answers.to_bytes(2, "big") + b"\0\0\0\0"
            self.transport.sendto(data[:2] + flags + counts + question + record, address)


@asynccontextmanager
async def relay_with_names() -> AsyncIterator[Relay]:
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    names.transport = transport
    address, port = transport.get_extra_info("sockname")
    config = RelayConfig(egress=HERE, nameservers=(f"{address}:{port}",))
    try:
        async with open_relay(config, SystemClock()) as relay:
            yield relay
    finally:
        transport.close()


async def test_name_is_resolved_and_sent_along() -> None:
    async with relay_with_names() as relay, receiving(says(OK)) as receiver:
        result = await relay.send(post(receiver.url(host=f"{ALIVE}.example.com")))
    assert (result.outcome, result.remote_ip_address) == (Outcome.SUCCEEDED, "127.0.0.1")
    assert receiver.requests[0].lines[1] == f"Host: alive.example.com:{receiver.port}"


async def test_a_name_server_that_cannot_be_reached_is_our_fault() -> None:
    config = RelayConfig(egress=HERE, nameservers=("127.0.0.1:1",))
    async with open_relay(config, SystemClock()) as relay:
        result = await relay.send(post("http://alive.example.com/", timeout=10))
    assert result.error_message == "dns_error: the name server cannot be reached"
    assert (result.outcome, result.is_ours) == (Outcome.DNS_ERROR, True)
    async with relay_with_names() as relay:
        assert not (await relay.send(post(f"http://{BROKEN}.example.com/", timeout=10))).is_ours


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (UNKNOWN, "the host name does not exist"),
        (BROKEN, "the name server failed"),
        (EMPTY, "the host name has no address"),
    ],
)
async def test_name_without_an_address_is_a_dns_error(label: str, problem: str) -> None:
    async with relay_with_names() as relay:
        result = await relay.send(post(f"http://{label}.example.com/", timeout=10))
    assert (result.outcome, result.error_message) == (Outcome.DNS_ERROR, f"dns_error: {problem}")


@pytest.mark.parametrize(("deadline", "ends"), [(0.5, 0.5), (10.0, 3.0)])
async def test_silent_name_server_is_a_dns_error_in_time(deadline: float, ends: float) -> None:
    async with relay_with_names() as relay:
        result = await relay.send(post(f"http://{SILENT}.example.com/", timeout=deadline))
    assert result.outcome is Outcome.DNS_ERROR
    assert result.error_message == "dns_error: the host name was not resolved in time"
    assert ends <= result.latency / 1_000_000 <= ends + 0.25


async def test_slow_names_delay_no_other_request() -> None:
    async with relay_with_names() as relay, receiving(says(OK)) as receiver:
        slow = [
            asyncio.create_task(relay.send(post(f"http://{SILENT}.example.com/", timeout=1)))
            for _ in range(100)
        ]
        await asyncio.sleep(0.1)
        result = await relay.send(post(receiver.url(host=f"{ALIVE}.example.com")))
        await asyncio.gather(*slow)
    assert (result.outcome, result.latency < 250_000) == (Outcome.SUCCEEDED, True)
