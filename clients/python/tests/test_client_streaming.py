"""Events over a stream, on both clients: what comes back, and what a broken stream costs."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from tests.clients import Client, Connect
from tests.fault_server import Fault, FaultServer
from tests.server_process import Restartable
from webhooks_client import (
    AsyncWebhooksClient,
    ClientClosed,
    Event,
    EventIdReused,
    InvalidArgument,
    Published,
    Refused,
    StreamResult,
    Unavailable,
    WebhooksClient,
)

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
LOST = Fault(code=grpc.StatusCode.UNAVAILABLE, after_storing=True)


def events(count: int) -> list[Event]:
    return [Event(event_type="stream.a", data=number) for number in range(count)]


def ids(results: list[StreamResult]) -> list[str]:
    assert all(isinstance(result, Published) for result in results)
    return [result.event_id for result in results]


async def test_more_events_than_the_window_holds_come_back_in_order(client: Client) -> None:
    given = events(2500)
    results = await client.stream(iter(given))
    assert ids(results) == [event.event_id for event in given]
    assert not any(isinstance(one, Published) and one.duplicate for one in results)
    stored = await client.stored(f"tenants/default/events/{given[1234].event_id}")
    assert stored.data_json == "1234"


async def test_no_events_have_no_results(client: Client) -> None:
    assert await client.stream([]) == []


async def test_a_refused_event_is_a_result_among_others(client: Client) -> None:
    first, bad, last = events(3)
    bad = Event(event_type="a..b", data=1, event_id=bad.event_id)
    reused = Event(event_type="stream.a", data="other", event_id=first.event_id)
    results = await client.stream([first, bad, first, reused, last])
    one, two, three, four, five = results
    assert ids([one, three, five]) == [first.event_id, first.event_id, last.event_id]
    assert isinstance(three, Published)
    assert three.duplicate
    assert isinstance(two, Refused)
    assert isinstance(two.error, InvalidArgument)
    assert two.event_id == bad.event_id
    assert [violation.field for violation in two.error.field_violations] == ["event.event_type"]
    assert isinstance(four, Refused)
    assert isinstance(four.error, EventIdReused)


@pytest.mark.parametrize("fault", [UNAVAILABLE, LOST], ids=["unread", "unanswered"])
async def test_a_broken_stream_is_resumed(
    faulty: Client, fault_server: FaultServer, fault: Fault
) -> None:
    given = events(50)
    fault_server.script = [*[None] * 20, fault, *[None] * 10, fault]
    results = await faulty.stream(given)
    assert ids(results) == [event.event_id for event in given]
    assert fault_server.stored == {event.event_id for event in given}
    seen = [one for call in fault_server.calls for one in call.ids]
    assert len(seen) == 52


async def test_gives_up_where_no_try_brings_anything(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [UNAVAILABLE] * 10
    with pytest.raises(Unavailable):
        await faulty.stream(events(3), timeout=0.7)
    assert 2 <= len(fault_server.calls) <= 4


async def test_no_server_is_unavailable(connect_unused: Client) -> None:
    with pytest.raises(Unavailable):
        await connect_unused.stream(events(1), timeout=0.5)


async def test_what_no_retry_mends_is_raised(faulty: Client, fault_server: FaultServer) -> None:
    fault_server.opening_fault = Fault(code=grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(InvalidArgument):
        await faulty.stream(events(1500))
    assert fault_server.calls == []


async def test_a_fault_of_the_events_comes_after_the_results(
    faulty: Client, fault_server: FaultServer
) -> None:
    def failing() -> Iterator[Event]:
        yield from events(5)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await faulty.stream(failing())
    assert len(fault_server.stored) == 5
    with pytest.raises(InvalidArgument, match="data"):
        await faulty.stream([*events(5), Event(event_type="a", data=object())])
    assert len(fault_server.stored) == 10


async def test_no_more_events_are_taken_than_the_window_holds(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.gate.clear()
    taken = itertools.count()

    def counted() -> Iterator[Event]:
        for event in events(1500):
            next(taken)
            yield event

    streaming = asyncio.ensure_future(faulty.stream(counted()))
    await asyncio.sleep(0.3)
    assert next(taken) == 1001
    fault_server.gate.set()
    assert len(await streaming) == 1500


async def test_results_come_while_events_do(server: str) -> None:
    async with AsyncWebhooksClient(server) as client:
        came = asyncio.Event()

        async def one_by_one() -> AsyncIterator[Event]:
            for event in events(3):
                yield event
                await asyncio.wait_for(came.wait(), 5)
                came.clear()

        count = 0
        async for _ in client.publish_stream(one_by_one()):
            count += 1
            came.set()
        assert count == 3


def test_results_come_while_events_do_in_threads(server: str) -> None:
    came = threading.Event()

    def one_by_one() -> Iterator[Event]:
        for event in events(3):
            yield event
            assert came.wait(5)
            came.clear()

    with WebhooksClient(server) as client:
        for _ in client.publish_stream(one_by_one()):
            came.set()


async def test_results_may_be_left(server: str) -> None:
    async with AsyncWebhooksClient(server) as client:
        results = client.publish_stream(events(2000))
        async with aclosing(results):
            async for _ in results:
                break
        assert len([one async for one in client.publish_stream(events(10))]) == 10
    with WebhooksClient(server) as synchronous:
        for _ in synchronous.publish_stream(events(2000)):
            break
        assert len(list(synchronous.publish_stream(events(10)))) == 10


async def test_a_client_that_is_closed_meanwhile_says_so(
    connect: Connect, fault_server: FaultServer
) -> None:
    fault_server.gate.clear()
    async with connect(fault_server.address) as client:
        streaming = asyncio.ensure_future(client.stream(events(3)))
        await asyncio.sleep(0.2)
    with pytest.raises(ClientClosed):
        await streaming
    fault_server.gate.set()
    with pytest.raises(ClientClosed):
        await client.stream(events(3))


@pytest.mark.long
async def test_a_server_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, connect: Connect, request: pytest.FixtureRequest
) -> None:
    given = events(2000)
    server = Restartable(tmp_path)
    server.start()
    request.addfinalizer(server.kill)

    def fed() -> Iterator[Event]:
        for number, event in enumerate(given):
            if number == 1500:
                server.kill()
                server.start()
            yield event

    async with connect(server.address) as client:
        results = await client.stream(fed(), timeout=20)
        assert ids(results) == [event.event_id for event in given]
        again = await client.stream(given)
        assert all(isinstance(one, Published) and one.duplicate for one in again)
        counted = await client.audit()
        assert (counted.event_count, list(counted.violations)) == (2000, [])


async def test_streams_leave_no_task_behind(fault_server: FaultServer) -> None:
    fault_server.script = [None, UNAVAILABLE, None, LOST]
    fault_server.opening_fault = UNAVAILABLE
    async with AsyncWebhooksClient(fault_server.address) as client:
        with pytest.raises(Unavailable):
            async for _ in client.publish_stream(events(10), timeout=0.7):
                pass
        fault_server.opening_fault = None
        assert len([one async for one in client.publish_stream(events(10))]) == 10
        await asyncio.sleep(0.05)
        names = [str(task.get_coro()) for task in asyncio.all_tasks()]
        assert not [name for name in names if "consume_request" in name or "_feed" in name]
