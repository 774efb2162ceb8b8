"""What becomes of calls when their client is closed."""

import asyncio
from collections.abc import Coroutine

import grpc
import pytest

from tests.clients import Client
from tests.fault_server import Fault, FaultServer, retry_after
from webhooks.v1 import admin_service_pb2 as admin
from webhooks_client import AsyncWebhooksClient, ClientClosed, WebhooksClient, WebhooksError

BOUND = 5.0


async def under_way(
    call: Coroutine[object, object, object], server: FaultServer
) -> asyncio.Task[object]:
    """Start a call and return it as soon as the server has it."""
    task = asyncio.create_task(call)
    assert await asyncio.to_thread(server.called.wait, BOUND)
    return task


@pytest.mark.parametrize("method", ["publish", "server_version"])
async def test_a_call_of_a_client_that_is_closed_fails_and_is_not_made_again(
    faulty: Client, fault_server: FaultServer, method: str
) -> None:
    fault_server.go_on.clear()
    call = faulty.publish("a.b", {}) if method == "publish" else faulty.server_version()
    task = await under_way(call, fault_server)
    await faulty.close()
    with pytest.raises(ClientClosed) as caught:
        await task
    assert isinstance(caught.value, WebhooksError)
    assert caught.value.code is grpc.StatusCode.CANCELLED
    assert not caught.value.is_transient
    assert len(fault_server.calls) == 1


async def test_a_client_that_is_closed_between_two_tries_makes_no_other(
    faulty: Client, fault_server: FaultServer
) -> None:
    fault_server.script = [Fault(code=grpc.StatusCode.UNAVAILABLE, details=[retry_after(2000)])]
    task = await under_way(faulty.publish("a.b", {}), fault_server)
    await asyncio.sleep(0.1)  # for the answer to arrive
    await faulty.close()
    async with asyncio.timeout(1.0):
        with pytest.raises(ClientClosed):
            await task
    assert len(fault_server.calls) == 1


async def test_a_closed_client_says_so(faulty: Client, fault_server: FaultServer) -> None:
    await faulty.close()
    await faulty.close()
    with pytest.raises(ClientClosed, match="CANCELLED: the client was closed"):
        await faulty.publish("a.b", {})
    with pytest.raises(ClientClosed):
        await faulty.server_version()
    assert fault_server.calls == []


def test_a_thread_that_closes_just_before_the_call_is_no_other_error(
    fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = WebhooksClient(fault_server.address)
    stub = client.admin.GetServerInfo

    def late(
        request: admin.GetServerInfoRequest, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> admin.GetServerInfoResponse:
        client.close()
        return stub(request, timeout=timeout, metadata=metadata)

    monkeypatch.setattr(client.admin, "GetServerInfo", late)
    with pytest.raises(ClientClosed):
        client.call(client.admin.GetServerInfo, admin.GetServerInfoRequest())


async def test_a_task_that_is_cancelled_stays_cancelled(fault_server: FaultServer) -> None:
    fault_server.go_on.clear()
    client = AsyncWebhooksClient(fault_server.address)
    task = await under_way(client.publish("a.b", {}), fault_server)
    task.cancel()
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
