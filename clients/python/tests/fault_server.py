"""A real gRPC server that fails as told."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from webhooks.v1 import admin_service_pb2 as admin
from webhooks.v1 import publisher_service_pb2 as pb
from webhooks.v1.publisher_service_pb2_grpc import (
    PublisherServiceServicer,
    add_PublisherServiceServicer_to_server,
)

HOLD_BOUND = 5.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How a call fails; after_storing, when all but the answer is done."""

    code: grpc.StatusCode
    details: Sequence[Message] = ()
    after_storing: bool = False

    def abort(self, context: grpc.ServicerContext) -> None:
        """End the call with this."""
        packed = [Packed() for _ in self.details]
        for one, detail in zip(packed, self.details, strict=True):
            one.Pack(detail)
        code: int = self.code.value[0]
        status = status_pb2.Status(code=code, message="told to", details=packed)
        context.abort_with_status(rpc_status.to_status(status))


def info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="webhooks.v1", metadata=metadata)


def retry_after(milliseconds: int) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(milliseconds)
    return error_details_pb2.RetryInfo(retry_delay=delay)


@dataclass
class Call:
    """A call as the server saw it."""

    ids: list[str]
    at: float
    time_remaining: float
    metadata: dict[str, str | bytes]


@dataclass
class FaultServer(PublisherServiceServicer):
    """Answers with the faults in its script, one a call (None is none), then as a server does."""

    address: str = ""
    script: list[Fault | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    opening_fault: Fault | None = None
    """How every stream ends at its first message."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Streams answer no event before it is set."""
    called: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    """Set, unless a test holds all answers back."""

    def Publish(  # noqa: N802 - named as in the contract
        self, request: pb.PublishRequest, context: grpc.ServicerContext
    ) -> pb.PublishResponse:
        return self._answer([request.event.event_id], context)[0]

    def BatchPublish(  # noqa: N802 - as above
        self, request: pb.BatchPublishRequest, context: grpc.ServicerContext
    ) -> pb.BatchPublishResponse:
        ids = [event.event_id for event in request.events]
        return pb.BatchPublishResponse(results=self._answer(ids, context))

    def StreamingPublish(  # noqa: N802 - as above
        self, request_iterator: Iterator[pb.StreamingPublishRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamingPublishResponse]:
        """Answer each event by itself; a fault of the script meets one event."""
        opening = next(request_iterator)
        assert opening.open.parent == "tenants/default"
        if self.opening_fault is not None:
            self.opening_fault.abort(context)
        yield pb.StreamingPublishResponse(opened=pb.StreamingPublishResponse.Opened())
        for request in request_iterator:
            self.gate.wait(20)
            (result,) = self._answer([request.publish.event.event_id], context)
            ack = pb.StreamingPublishResponse.Ack(
                sequence=request.publish.sequence, published=result
            )
            yield pb.StreamingPublishResponse(acks=pb.StreamingPublishResponse.Acks(acks=[ack]))

    def get_server_info(
        self, request: admin.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> admin.GetServerInfoResponse:
        self._answer([], context)
        return admin.GetServerInfoResponse(version="1")

    def _answer(self, ids: list[str], context: grpc.ServicerContext) -> list[pb.PublishResponse]:
        metadata = dict(context.invocation_metadata())
        self.calls.append(Call(ids, time.monotonic(), context.time_remaining(), metadata))
        self.called.set()
        self.go_on.wait(HOLD_BOUND)
        fault = self.script.pop(0) if self.script else None
        if fault is not None and not fault.after_storing:
            fault.abort(context)
        results = [
            pb.PublishResponse(event=f"tenants/default/events/{one}", duplicate=one in self.stored)
            for one in ids
        ]
        self.stored.update(ids)
        if fault is not None:
            fault.abort(context)
        return results


@contextmanager
def run_fault_server(
    address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[FaultServer]:
    servicer = FaultServer()
    servicer.gate.set()
    servicer.go_on.set()
    with ThreadPoolExecutor(max_workers=4) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        add_PublisherServiceServicer_to_server(servicer, server)
        server.add_generic_rpc_handlers((_admin_methods(servicer),))
        port = (
            server.add_insecure_port(address)
            if credentials is None
            else server.add_secure_port(address, credentials)
        )
        servicer.address = f"127.0.0.1:{port}"
        server.start()
        yield servicer
        servicer.go_on.set()
        server.stop(grace=None).wait()


def _admin_methods(servicer: FaultServer) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(
        servicer.get_server_info,
        request_deserializer=admin.GetServerInfoRequest.FromString,
        response_serializer=admin.GetServerInfoResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        "webhooks.v1.AdminService", {"GetServerInfo": method}
    )
