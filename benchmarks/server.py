"""The server under test: the real program in a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from benchmarks.children import BenchmarkError, free_port, program, quiet_environment, until
from benchmarks.load import BODY, PARENT
from benchmarks.stores import Store
from webhooks.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    event_pb2,
    publisher_service_pb2,
    publisher_service_pb2_grpc,
    subscription_pb2,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)

SCRIPT = Path(sys.executable).with_name("webhooks-server")


class Server:
    """A server that runs, and what benchmarks ask of it beside their load."""

    def __init__(
        self, address: str, process: asyncio.subprocess.Process, channel: grpc.aio.Channel
    ) -> None:
        self.address = address
        self.process_id = process.pid
        self._process = process
        self._admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        self._publisher = publisher_service_pb2_grpc.PublisherServiceStub(channel)
        self._subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(channel)

    async def subscribe(self, lane: int, url: str, *, in_flight: int = 10) -> None:
        """Subscribe a URL to the events of one lane; the first to come has the number 1."""
        config = subscription_pb2.SubscriptionConfig(url=url, max_in_flight=in_flight)
        await self._subscriptions.CreateSubscription(
            subscription_service_pb2.CreateSubscriptionRequest(
                parent=PARENT,
                subscription_id=f"lane{lane}",
                subscription=subscription_pb2.Subscription(
                    display_name=f"Lane {lane}", events=[f"bench.lane{lane}.*"], config=config
                ),
                skip_ping=True,
            )
        )

    async def pause(self) -> None:
        """Hold all deliveries."""
        await self._admin.PauseRelay(admin_service_pb2.PauseRelayRequest(reason="benchmark"))

    async def resume(self) -> None:
        """Let deliveries go."""
        await self._admin.ResumeRelay(admin_service_pb2.ResumeRelayRequest())

    async def kill(self) -> None:
        """End it as if the machine had: it gets to do nothing any more."""
        self._process.kill()
        await self._process.wait()

    async def answers(self) -> bool:
        """Tell whether it serves."""
        try:
            await self._admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def publish(self, event_type: str) -> None:
        """Publish one event."""
        event = event_pb2.EventInput(event_type=event_type, data_json=BODY)
        await self._publisher.Publish(
            publisher_service_pb2.PublishRequest(parent=PARENT, event=event)
        )

    async def check(self, deliveries: int, *, within: float = 120.0) -> None:
        """Raise BenchmarkError unless all is delivered, once, and the books agree."""
        await until(self._has_settled, "every delivery is settled", within=within, every=0.2)
        books = await self.books()
        if books.violations or not deliveries == books.succeeded_count == books.attempt_count:
            raise BenchmarkError(f"{deliveries} deliveries were expected; the audit says {books}")

    async def books(self) -> admin_service_pb2.AuditResponse:
        """Return the server's count of everything."""
        return await self._admin.Audit(admin_service_pb2.AuditRequest())

    async def _has_settled(self) -> bool:
        return (await self.books()).pending_count == 0


@asynccontextmanager
async def open_server(store: Store) -> AsyncIterator[Server]:
    """Run a server on `store`, and end it in order."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    environment = quiet_environment() | {"WEBHOOKS_LISTEN": address} | dict(store.settings)
    log = store.folder / f"log-{port}"
    async with (
        program(str(SCRIPT), "serve", environment=environment, output=log) as process,
        grpc.aio.insecure_channel(address) as channel,
    ):
        await until(lambda: _is_open(port, process, log), "the server listens", every=0.005)
        server = Server(address, process, channel)
        await until(server.answers, "the server answers", every=0.005)
        yield server


def _end_of(log: Path) -> str:
    return log.read_text()[-2000:]


async def _is_open(port: int, process: asyncio.subprocess.Process, log: Path) -> bool:
    if process.returncode is not None:
        raise BenchmarkError(f"the server ended: {_end_of(log)}")
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
