"""Requests go where the policy lets them: by the name's addresses, by the socket, by each alone."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.harness.egress import HERE
from tests.integration.relay_receiver import OK, post, receiving, says
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.egress import PUBLIC, EgressPolicy
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Relay
from webhooks_server.relay import RelayConfig, open_relay
from webhooks_server.relay.guard import Guard
from webhooks_server.relay.resolver import KEPT_SECONDS

BLOCKED = (Outcome.BLOCKED_ADDRESS, "blocked_address: requests may not go to this address")
OPEN = EgressPolicy(allow_http=True)
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Names(asyncio.DatagramProtocol):
    """A name server: answers with the addresses of the name's turn, and notes what it was asked."""

    transport: asyncio.DatagramTransport

    def __init__(self, *turns: Sequence[str]) -> None:
        self._turns = list(turns)
        self.asked = 0

    def datagram_received(self, data: bytes, address: tuple[str | int, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        version = 4 if question[-4:-2] == b"\0\1" else 6
        if version == 4:
            self.asked += 1
        turn = self._turns[min(self.asked, len(self._turns)) - 1]
        found = [one for one in map(ipaddress.ip_address, turn) if one.version == version]
        records = b"".join(
            b"\xc0\x0c" + question[-4:] + b"\0\0\0\0" + len(one.packed).to_bytes(2) + one.packed
            for one in found
        )
        head = b"\x81\x80\0\1" + len(found).to_bytes(2) + b"\0\0\0\0"
        self.transport.sendto(data[:2] + head + question + records, address)


@asynccontextmanager
async def relay_with(names: Names, policy: EgressPolicy) -> AsyncIterator[Relay]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: names, local_addr=("127.0.0.1", 0)
    )
    names.transport = transport
    host, port = transport.get_extra_info("sockname")
    config = RelayConfig(egress=policy, nameservers=(f"{host}:{port}",))
    try:
        async with open_relay(config, SystemClock()) as relay:
            yield relay
    finally:
        transport.close()


async def outcome(relay: Relay, url: str) -> tuple[Outcome, str]:
    result = await relay.send(post(url, timeout=2))
    return result.outcome, result.error_message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_in_the_url_is_stopped_at_the_socket(host: str) -> None:
    async with (
        open_relay(RelayConfig(), SystemClock()) as relay,
        receiving(says(OK)) as receiver,
    ):
        assert await outcome(relay, f"http://{host}:{receiver.port}/") == BLOCKED
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::a00:1"],
        ["::1"],
        ["169.254.169.254"],
        ["2606:4700::1111", "127.0.0.1"],
    ],
    ids=str,
)
async def test_a_name_is_refused_for_any_of_its_addresses(addresses: list[str]) -> None:
    names = Names(addresses)
    async with relay_with(names, OPEN) as relay, receiving(says(OK)) as receiver:
        assert await outcome(relay, f"http://a.example.com:{receiver.port}/") == BLOCKED
    assert (receiver.connections, names.asked) == (0, 1)


async def test_a_name_that_leads_elsewhere_the_next_time_is_judged_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhooks_server.relay.resolver.KEPT_SECONDS", 0.0)
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with relay_with(names, HERE) as relay, receiving(says(LAST, close=True)) as receiver:
        url = f"http://rebind.example.com:{receiver.port}/"
        assert (await outcome(relay, url))[0] is Outcome.SUCCEEDED
        assert await outcome(relay, url) == BLOCKED
    assert (receiver.connections, names.asked) == (1, 2)


async def test_a_name_is_asked_for_once_in_a_while() -> None:
    assert 0 < KEPT_SECONDS <= 60
    names = Names(["127.0.0.1"])
    async with relay_with(names, HERE) as relay, receiving(says(LAST, close=True)) as receiver:
        for _ in range(3):
            url = f"http://a.example.com:{receiver.port}/"
            assert (await outcome(relay, url))[0] is Outcome.SUCCEEDED
    assert (receiver.connections, names.asked) == (3, 1)


@pytest.mark.parametrize("layer", ["check_names", "check_socket"])
async def test_each_layer_holds_where_the_other_one_lets_all_through(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guard, layer, lambda *_: None)
    async with (
        relay_with(Names(["127.0.0.1"]), OPEN) as relay,
        receiving(says(OK)) as receiver,
    ):
        assert await outcome(relay, f"http://a.example.com:{receiver.port}/") == BLOCKED
    assert receiver.connections == 0


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
async def test_a_server_does_not_send_to_itself(listening: str) -> None:
    async with receiving(says(OK)) as own, receiving(says(OK)) as other:
        config = RelayConfig(egress=HERE, own=((listening, own.port),))
        async with open_relay(config, SystemClock()) as relay:
            assert await outcome(relay, own.url()) == BLOCKED
            assert (await outcome(relay, other.url()))[0] is Outcome.SUCCEEDED
    assert (own.connections, other.connections) == (0, 1)


async def test_a_listed_network_may_be_reached() -> None:
    policy = EgressPolicy(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    async with (
        open_relay(RelayConfig(egress=policy), SystemClock()) as relay,
        receiving(says(OK)) as receiver,
    ):
        assert (await outcome(relay, receiver.url()))[0] is Outcome.SUCCEEDED


def test_the_default_is_public_addresses_alone() -> None:
    assert RelayConfig().egress == PUBLIC
