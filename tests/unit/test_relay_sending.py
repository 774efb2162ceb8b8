"""The rule of the remote relay: each request is started within a second, or given back."""

import asyncio
from collections.abc import Iterable

import pytest

from tests.harness.waiting import until
from tests.harness.world import Faults
from webhooks.v1 import delivery_pb2
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.errors import NotSent, WebhooksError
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import relay_sending
from webhooks_server.rpc.client.relay_link import RelayLink
from webhooks_server.rpc.client.relay_messages import LeasedRequest
from webhooks_server.rpc.client.relay_sending import RelaySending
from webhooks_server.rpc.client.relay_spool import MAX_REPORTS, Spool


class Link(RelayLink):
    """A link without a stream: it keeps what is said over it."""

    def __init__(self) -> None:
        self.broken: WebhooksError | None = None
        self.is_finished = False
        self.released: list[str] = []

    async def release(self, tokens: Iterable[str]) -> None:
        self.released += tokens


class Gate:
    """A relay that answers once it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.sent: list[str] = []
        self.error: Exception | None = None

    def share(self, engines: int) -> None:
        """It bounds nothing."""

    async def send(self, request: OutboundRequest) -> SendResult:
        self.sent.append(request.url)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return SendResult(outcome=Outcome.SUCCEEDED, start_time=Instant(0), latency=Micros(1))


def leased(name: str) -> LeasedRequest:
    request = OutboundRequest(url=name, headers=(), body=b"", timeout=Micros(1))
    return LeasedRequest(token=name, delivery=name, request=request)


async def test_what_cannot_be_started_in_time_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_sending, "START_SECONDS", 0.05)
    gate, link, spool, told = Gate(), Link(), Spool(), Faults()
    async with asyncio.TaskGroup() as tasks:
        sending = RelaySending(gate, spool, 1, SystemClock(), told, tasks)
        sending.start(link, leased("first"))
        sending.start(link, leased("second"))
        await until(lambda: link.released == ["second"])
        gate.open.set()
        await until(lambda: len(sending) == 0)
    assert gate.sent == ["first"]
    assert [report.lease_token for report in await spool.take(link)] == ["first"]
    assert [name for name, _ in told.facts] == ["lease.released"]


async def test_a_stop_starts_nothing_and_a_broken_link_s_request_is_dropped() -> None:
    gate, link, broken, spool = Gate(), Link(), Link(), Spool()
    gate.open.set()
    broken.broken = WebhooksError("gone")
    async with asyncio.TaskGroup() as tasks:
        sending = RelaySending(gate, spool, 1, SystemClock(), Faults(), tasks)
        sending.start(broken, leased("lost"))
        await until(lambda: len(sending) == 0)
        sending.drain()
        sending.start(link, leased("late"))
        await until(lambda: len(sending) == 0)
    assert (gate.sent, link.released, broken.released) == ([], ["late"], [])


async def test_a_fault_of_one_is_told_and_reported() -> None:
    gate, link, spool, told = Gate(), Link(), Spool(), Faults()
    gate.open.set()
    gate.error = RuntimeError("a bug")
    async with asyncio.TaskGroup() as tasks:
        sending = RelaySending(gate, spool, 1, SystemClock(), told, tasks)
        sending.start(link, leased("bad"))
        await until(lambda: len(sending) == 0)
    (report,) = await spool.take(link)
    assert report.outcome == delivery_pb2.DeliveryAttempt.OUTCOME_INTERNAL
    assert "a bug" not in report.error_message
    assert told.faults == [("delivery.broken", gate.error)]


async def test_what_the_sender_gives_back_is_given_back() -> None:
    gate, link, spool = Gate(), Link(), Spool()
    gate.open.set()
    gate.error = NotSent()
    async with asyncio.TaskGroup() as tasks:
        sending = RelaySending(gate, spool, 1, SystemClock(), Faults(), tasks)
        sending.start(link, leased("busy"))
        await until(lambda: len(sending) == 0)
    assert (link.released, len(spool)) == (["busy"], 0)


async def test_results_are_kept_until_they_are_acknowledged() -> None:
    spool, first, second = Spool(), object(), object()
    gate = Gate()
    gate.open.set()
    async with asyncio.TaskGroup() as tasks:
        sending = RelaySending(gate, spool, 8, SystemClock(), Faults(), tasks)
        for number in range(MAX_REPORTS + 5):
            sending.start(Link(), leased(str(number)))
    assert len(spool) == MAX_REPORTS + 5
    taken = await spool.take(first)
    assert len(taken) == MAX_REPORTS
    rest = await spool.take(second)
    assert len(rest) == 5
    spool.acknowledged(taken[0].lease_token)
    assert (len(spool), spool.is_waiting_on(first)) == (MAX_REPORTS + 4, True)
    spool.link_lost(first)
    assert not spool.is_waiting_on(first)
    again = await spool.take(second)
    assert again == taken[1:]
    spool.send_again([taken[0].lease_token, rest[0].lease_token])
    assert await spool.take(first) == rest[:1]


async def test_a_link_waits_for_the_reports_of_what_it_brought_whichever_link_carries_them() -> (
    None
):
    spool, first, second = Spool(), object(), object()
    spool.put(pb.DeliveryReport(lease_token="one"), first)
    assert (spool.is_waiting_on(first), spool.is_waiting_on(second)) == (True, False)
    await spool.take(second)
    assert (spool.is_waiting_on(first), spool.is_waiting_on(second)) == (True, True)
    spool.acknowledged("one")
    assert (spool.is_waiting_on(first), spool.is_waiting_on(second)) == (False, False)
