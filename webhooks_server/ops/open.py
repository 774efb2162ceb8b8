"""Opening what operators look at: the page, the figures behind it, and the traces."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from webhooks_server.domain.errors import InvalidSettings
from webhooks_server.ops.measures import Measures
from webhooks_server.ops.page import Figures, Page, open_page
from webhooks_server.ops.telemetry import OpenSpan, ServerTelemetry
from webhooks_server.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsConfig:
    """Where the page is served (None: nowhere), how many tenants it names, whether to trace."""

    listen: str | None = None
    tenants: int = 0
    traces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """What the process tells, and the page that shows it."""

    telemetry: ServerTelemetry
    page: Page | None


@asynccontextmanager
async def open_ops(config: OpsConfig, clock: Clock) -> AsyncIterator[Ops]:
    """Open what is asked for; raises StartError."""
    async with AsyncExitStack() as stack:
        measures = None if config.listen is None else Measures(config.tenants)
        page = None
        if config.listen is not None and measures is not None:
            page = await stack.enter_async_context(open_page(config.listen, _figures(measures)))
        spans = [await _open_traces(stack)] if config.traces else []
        yield Ops(telemetry=ServerTelemetry(clock, measures, *spans), page=page)


def _figures(measures: Measures) -> Figures:
    # Nobody else needs the library, which takes a tenth of a second and 5 MiB.
    from webhooks_server.ops.exposition import CONTENT_TYPE, Exposition  # noqa: PLC0415

    return Figures(Exposition(measures).text, CONTENT_TYPE)


async def _open_traces(stack: AsyncExitStack) -> OpenSpan:
    try:
        from webhooks_server.ops.traces import Traces, collector  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidSettings(
            "traces need OpenTelemetry, which is not installed: pip install 'webhooks-server[otel]'"
        ) from None
    traces = Traces(collector())
    stack.push_async_callback(traces.close)
    return traces.span
