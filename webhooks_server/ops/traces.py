"""Traces by OpenTelemetry, imported only where they are asked for: an extra of this package.

Where spans go, how many of them, and under which name of a service, its own OTEL_ variables say.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from webhooks_server import __version__
from webhooks_server.ops.telemetry import shown

_KINDS: Mapping[str, SpanKind] = {
    "events.accept": SpanKind.INTERNAL,
    "delivery.attempt": SpanKind.CLIENT,
}
_LAST_SPANS_SECONDS = 3.0


def collector() -> SpanExporter:
    """Return what hands spans to a collector, over OTLP and gRPC."""
    return OTLPSpanExporter()


class Traces:
    """Makes spans and hands them on, in the background and within bounds."""

    def __init__(self, exporter: SpanExporter, processor: SpanProcessor | None = None) -> None:
        """Take where finished spans go, and how: by default in batches, in the background."""
        own = {"service.name": "webhooks-server", "service.version": __version__}
        # What the variables say outranks what we would say.
        resource = Resource(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = exporter
        self._provider.add_span_processor(processor or BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("webhooks_server", __version__)

    def span(self, name: str, parent: str, /) -> "TracedSpan":
        """Begin a span that continues a trace, or a trace where there is none."""
        context = set_span_in_context(NonRecordingSpan(_context_of(parent))) if parent else None
        kind = _KINDS.get(name, SpanKind.SERVER)
        return TracedSpan(self._tracer.start_span(name, context, kind))

    async def close(self) -> None:
        """Hand on what is left, within a moment: traces are not worth a longer stop."""
        handing_on = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait([handing_on], timeout=_LAST_SPANS_SECONDS)
        # It would try for long to reach a collector that is away; told twice, it only says so.
        if not handing_on.done():
            self._exporter.shutdown()
        await handing_on


class TracedSpan:
    """ports.Span on a span of OpenTelemetry; its parent was given, so no context is kept."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        """Take a span that has begun."""
        self._span = span
        self.traceparent = _traceparent_of(span.get_span_context())

    @property
    def is_kept(self) -> bool:
        """Whether it is sampled."""
        return self._span.is_recording()

    def note(self, **attributes: str | int) -> None:
        """Add what came of it, as far as logs would show it too."""
        for name, value in shown(attributes).items():
            if value is not None:
                self._span.set_attribute(f"webhooks.{name}", value)

    def __enter__(self) -> Self:
        """Go on: it has begun already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None:
        """End it; of an error only the kind is told, since its text may hold anything."""
        if kind is not None:
            self._span.set_status(StatusCode.ERROR, kind.__name__)
        self._span.end()


def _context_of(traceparent: str) -> SpanContext:
    _, trace, span, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(int(flags, 16)))  # noqa: FBT003


def _traceparent_of(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
