"""A relay at the end of a stream, played by a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import grpc.aio

from tests.harness.requests import publish
from tests.harness.served import Served
from tests.harness.waiting import until_async
from webhooks.v1 import admin_service_pb2, delivery_pb2, delivery_service_pb2
from webhooks.v1 import relay_service_pb2 as pb

if TYPE_CHECKING:
    # Generic in the stubs alone.
    Stream = grpc.aio.StreamStreamCall[pb.AttachRelayRequest, pb.AttachRelayResponse]

Ask = pb.AttachRelayRequest


class Attached:
    """The relay's end of one stream."""

    def __init__(self, stream: "Stream") -> None:
        self.stream = stream

    async def open(self, slots: int = 4, relay: str = "far-away") -> pb.AttachRelayResponse:
        await self.stream.write(Ask(open=Ask.Open(relay=relay, slots=slots)))
        return await self.read("opened")

    async def read(self, kind: str) -> pb.AttachRelayResponse:
        """Read one message, of this kind."""
        async with asyncio.timeout(5):
            message = await self.stream.read()
        assert isinstance(message, pb.AttachRelayResponse), message
        assert message.WhichOneof("response") == kind, message
        return message

    async def deliveries(self, count: int) -> list[pb.LeasedDelivery]:
        found: list[pb.LeasedDelivery] = []
        while len(found) < count:
            found += (await self.read("deliveries")).deliveries.deliveries
        assert len(found) == count
        return found

    async def report(
        self, *reports: pb.DeliveryReport
    ) -> Sequence[pb.ReportDeliveriesResponse.Result]:
        await self.stream.write(Ask(reports=Ask.Reports(reports=reports)))
        return (await self.read("reported")).reported.results


@contextlib.asynccontextmanager
async def attached(
    served: Served, slots: int = 4, relay: str = "far-away"
) -> AsyncIterator[Attached]:
    """Attach a relay; at the end its stream is cut."""
    stream = served.relays.AttachRelay()
    made = Attached(stream)
    await made.open(slots, relay)
    try:
        yield made
    finally:
        stream.cancel()


def succeeded(
    delivery: pb.LeasedDelivery,
    *,
    response_body: bytes = b"",
    error_message: str = "",
    remote_ip_address: str = "",
) -> pb.DeliveryReport:
    """A report of success."""
    report = pb.DeliveryReport(
        lease_token=delivery.lease_token,
        outcome=delivery_pb2.DeliveryAttempt.OUTCOME_SUCCEEDED,
        response_status_code=200,
        response_body=response_body,
        error_message=error_message,
        remote_ip_address=remote_ip_address,
    )
    report.start_time.GetCurrentTime()
    report.latency.FromMilliseconds(12)
    return report


async def prove(served: Served, relay: Attached) -> None:
    """Let one delivery succeed: before, a receiver has but one at a time."""
    await served.publisher.Publish(publish())
    (leased,) = await relay.deliveries(1)
    await relay.report(succeeded(leased))


async def attempts(served: Served, name: str) -> list[delivery_pb2.DeliveryAttempt]:
    """The attempts of a delivery, the first one first."""
    request = delivery_service_pb2.ListDeliveryAttemptsRequest(
        parent=name, view=delivery_pb2.DELIVERY_VIEW_FULL
    )
    answer = await served.deliveries.ListDeliveryAttempts(request)
    return list(reversed(answer.attempts))


async def workers(served: Served) -> list[tuple[str, int]]:
    """Who sends, and how much each has in hand."""
    status = await served.admin.GetRelayStatus(admin_service_pb2.GetRelayStatusRequest())
    return [(one.relay, one.leased_count) for one in status.workers]


async def eventually(served: Served, wanted: list[tuple[str, int]]) -> None:
    """Wait until just these send."""

    async def is_so() -> bool:
        return await workers(served) == wanted

    await until_async(is_so)
