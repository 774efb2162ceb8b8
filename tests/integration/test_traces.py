"""Traces from the publisher to the receiver, through a real server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.harness.command_line import finish, line_with, send_signal, start
from tests.harness.receiver import Receiver
from tests.harness.requests import create, publish, subscribe
from tests.harness.served import Served, open_served, refused
from tests.harness.waiting import until
from tests.harness.world import Faults
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2 import PingSubscriptionRequest
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.ops.traces import Traces
from webhooks_server.ports import Span

pytestmark = pytest.mark.long

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"
PUBLISH = "webhooks.v1.PublisherService.Publish"


class Traced(Faults):
    """Telemetry whose spans are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.exporter = InMemorySpanExporter()
        self.traces = Traces(self.exporter, SimpleSpanProcessor(self.exporter))

    def span(self, name: str, parent: str, /) -> Span:
        return self.traces.span(name, parent)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
async def served(tmp_path: Path, traced: Traced) -> AsyncIterator[Served]:
    async with open_served(tmp_path, telemetry=traced) as opened:
        yield opened


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> str:
    return "" if span.parent is None else f"{span.parent.span_id:016x}"


async def test_one_trace_leads_from_the_publisher_to_the_receiver(
    served: Served, traced: Traced, receiver: Receiver
) -> None:
    subscription = await subscribe(served, receiver.url)
    await served.publisher.Publish(publish(), metadata=(("traceparent", CALLER),))
    (request,) = await receiver.got(1)
    await until(lambda: bool(traced.named("delivery.attempt")))

    (called,), (accept,) = traced.named(PUBLISH), traced.named("events.accept")
    (attempt,) = traced.named("delivery.attempt")
    assert parent_of(called) == CALLER.split("-")[2]
    assert parent_of(accept) == parent_of(attempt) == id_of(called)
    assert {trace_of(span) for span in (called, accept, attempt)} == {TRACE}
    assert (called.kind, attempt.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert request.headers["traceparent"] == f"00-{TRACE}-{id_of(attempt)}-01"
    attributes = dict(attempt.attributes or {})
    assert attributes["webhooks.subscription"] == subscription.name.rpartition("/")[2]
    assert attributes["webhooks.outcome"] == "succeeded"
    assert attributes["webhooks.status_code"] == 200


async def test_without_a_caller_that_traces_a_trace_begins_here(
    served: Served, traced: Traced, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    (request,) = await receiver.got(1)

    (called,) = traced.named(PUBLISH)
    assert parent_of(called) == ""
    assert request.headers["traceparent"].split("-")[1] == trace_of(called)


async def test_each_attempt_is_a_span_of_its_own(
    served: Served, traced: Traced, receiver: Receiver
) -> None:
    for number in range(2):
        await subscribe(served, f"{receiver.url}/{number}")
    receiver.script = [200, 500]
    await served.publisher.Publish(publish())
    requests = await receiver.got(2)
    await until(lambda: len(traced.named("delivery.attempt")) == 2)

    (called,) = traced.named(PUBLISH)
    attempts = traced.named("delivery.attempt")
    assert {parent_of(span) for span in attempts} == {id_of(called)}
    told = {request.headers["traceparent"].split("-")[2] for request in requests}
    assert told == {id_of(span) for span in attempts}
    outcomes = {dict(span.attributes or {})["webhooks.outcome"] for span in attempts}
    assert outcomes == {"succeeded", "http_error"}


async def test_a_ping_is_traced_too(served: Served, traced: Traced, receiver: Receiver) -> None:
    subscription = await subscribe(served, receiver.url)
    await served.subscriptions.PingSubscription(PingSubscriptionRequest(name=subscription.name))

    (attempt,) = traced.named("delivery.attempt")
    (request,) = receiver.requests
    assert request.headers["traceparent"].split("-")[2] == id_of(attempt)


async def test_what_the_caller_does_not_sample_is_not_sampled(
    served: Served, traced: Traced, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url)
    traced.exporter.clear()
    await served.publisher.Publish(publish(), metadata=(("traceparent", UNSAMPLED),))
    (request,) = await receiver.got(1)

    assert request.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert request.headers["traceparent"].endswith("-00")
    assert traced.exporter.get_finished_spans() == ()


async def test_a_span_of_a_refused_call_tells_the_kind_of_error_alone(
    served: Served, traced: Traced
) -> None:
    await refused(served.publisher.Publish(publish(event_type="canary of a type")))

    (called,) = traced.named(PUBLISH)
    assert called.status.status_code is StatusCode.ERROR
    assert called.status.description == "InvalidArgument"
    assert "canary" not in called.to_json()


async def test_without_traces_the_receiver_gets_what_the_publisher_gave(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with open_served(tmp_path) as served:
        await subscribe(served, receiver.url)
        await served.publisher.Publish(publish(), metadata=(("traceparent", CALLER),))
        (request,) = await receiver.got(1)

    assert request.headers["traceparent"] == CALLER


@asynccontextmanager
async def open_collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Open what takes spans over OTLP, and keeps them."""
    got: list[ExportTraceServiceRequest] = []

    async def export(request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        got.append(request)
        return ExportTraceServiceResponse()

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        export,
        ExportTraceServiceRequest.FromString,
        ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {"Export": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"http://127.0.0.1:{port}", got
    await server.stop(None)


async def serve_traced(data_dir: Path, endpoint: str, receiver: Receiver) -> tuple[int, float]:
    """Let a server in a process of its own deliver an event; returns its status and its stop."""
    process = await start(
        *("serve", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--traces"),
        *("--log-format", "json"),
        variables={
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": "hooks",
        },
    )
    address = json.loads(await line_with(process.stderr, "server.serving"))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        await SubscriptionServiceStub(channel).CreateSubscription(create(receiver.url))
        await PublisherServiceStub(channel).Publish(publish())
        await receiver.got(1)
    began = asyncio.get_running_loop().time()
    send_signal(process, signal.SIGTERM)
    finished = await finish(process)
    return finished.status, asyncio.get_running_loop().time() - began


async def test_a_collector_gets_the_spans_by_the_standard_variables(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with open_collector() as (endpoint, got):
        status, _ = await serve_traced(tmp_path, endpoint, receiver)

    resources = [spans for request in got for spans in request.resource_spans]
    names = {span.name for one in resources for scope in one.scope_spans for span in scope.spans}
    services = {
        attribute.value.string_value
        for one in resources
        for attribute in one.resource.attributes
        if attribute.key == "service.name"
    }
    assert status == 0
    assert names >= {PUBLISH, "events.accept", "delivery.attempt"}
    assert services == {"hooks"}


async def test_a_collector_that_is_away_holds_up_no_stop(
    tmp_path: Path, receiver: Receiver
) -> None:
    status, took = await serve_traced(tmp_path, "http://127.0.0.1:1", receiver)
    assert status == 0
    assert took < 8
