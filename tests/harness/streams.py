"""A StreamingPublish that a test writes to and reads from."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from tests.harness.served import PARENT, Refusal, Served, refusal_of
from webhooks.v1 import event_pb2
from webhooks.v1 import publisher_service_pb2 as pb

if TYPE_CHECKING:
    Method = grpc.aio.StreamStreamMultiCallable[
        pb.StreamingPublishRequest, pb.StreamingPublishResponse
    ]
    Call = grpc.aio.StreamStreamCall[pb.StreamingPublishRequest, pb.StreamingPublishResponse]

WITHIN = 5.0
Ack = pb.StreamingPublishResponse.Ack


class Stream:
    """One stream; nothing is read or written but by its methods."""

    def __init__(self, served: Served, channel: grpc.aio.Channel | None = None) -> None:
        method: Method = (channel or served.channel).stream_stream(
            "/webhooks.v1.PublisherService/StreamingPublish",
            request_serializer=pb.StreamingPublishRequest.SerializeToString,
            response_deserializer=pb.StreamingPublishResponse.FromString,
        )
        self.call: Call = method()
        self.sequence = 0
        self.acks: list[Ack] = []

    async def open(self, parent: str = PARENT, client_id: str = "") -> pb.StreamingPublishResponse:
        """Send `open` and return what answers it."""
        opening = pb.StreamingPublishRequest.Open(parent=parent, client_id=client_id)
        await self.call.write(pb.StreamingPublishRequest(open=opening))
        return await self._read()

    async def send(self, sequence: int = 0, **fields: object) -> int:
        """Send an event of type invoice.paid unless said otherwise; returns its sequence."""
        event = event_pb2.EventInput(**{"event_type": "invoice.paid", **fields})  # type: ignore[arg-type]
        self.sequence = sequence or self.sequence + 1
        request = pb.StreamingPublishRequest.Publish(sequence=self.sequence, event=event)
        await self.call.write(pb.StreamingPublishRequest(publish=request))
        return self.sequence

    async def acked(self, count: int) -> Sequence[Ack]:
        """Read so many acknowledgements that there are `count` in all, and return these."""
        while len(self.acks) < count:
            response = await self._read()
            assert response.WhichOneof("response") == "acks", response
            self.acks += response.acks.acks
        return self.acks

    async def close(self) -> Sequence[Ack]:
        """Send nothing more, read to the end, which must be a good one, and return all acks."""
        await self.call.done_writing()
        assert await self.end() is None
        return self.acks

    async def end(self) -> Refusal | None:
        """Read to the end and return the status that it came with; None is OK."""
        try:
            async with asyncio.timeout(WITHIN):
                while (response := await self.call.read()) is not grpc.aio.EOF:
                    assert isinstance(response, pb.StreamingPublishResponse)
                    self.acks += response.acks.acks
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
        assert await self.call.code() is grpc.StatusCode.OK
        return None

    async def _read(self) -> pb.StreamingPublishResponse:
        async with asyncio.timeout(WITHIN):
            response = await self.call.read()
        assert isinstance(response, pb.StreamingPublishResponse), await self.call.code()
        return response


async def open_stream(served: Served, channel: grpc.aio.Channel | None = None) -> Stream:
    """Open a stream and see it answered."""
    stream = Stream(served, channel)
    assert (await stream.open()).WhichOneof("response") == "opened"
    return stream


def fields_of(status: status_pb2.Status) -> dict[str, str]:
    """Return the violations of a status in an acknowledgement: the reason by the field."""
    request = error_details_pb2.BadRequest()
    assert [one.Unpack(request) for one in status.details].count(True) == 1
    return {one.field: one.reason for one in request.field_violations}


def reason_of(status: status_pb2.Status) -> str:
    """Return the reason of a status in an acknowledgement."""
    info = error_details_pb2.ErrorInfo()
    assert [one.Unpack(info) for one in status.details].count(True) == 1
    return info.reason
