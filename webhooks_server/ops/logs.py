"""Logs: one line per fact on standard error, as JSON or for people.

structlog renders what the standard library's logging carries, so that the lines of libraries come
out in the same form. Libraries speak only from WARNING on: what they say below may hold anything.
"""

import logging
import sys
import traceback
from dataclasses import dataclass
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

LOGGER = "webhooks_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The least level that is shown (debug, info, warning or error), and whether lines are JSON."""

    level: str = "info"
    json: bool = False


def configure_logs(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send all logs of the process to this stream, standard error unless given."""
    output = sys.stderr if stream is None else stream
    destination = logging.StreamHandler(output)
    destination.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, _as_library_line],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                *_rendering(json=config.json, colors=output.isatty()),
            ],
        )
    )
    logging.basicConfig(handlers=[destination], level=logging.WARNING, force=True)
    logging.getLogger(LOGGER).setLevel(config.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            _as_fact_line,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def plain_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback without the values of local variables, which may be secrets or payloads."""
    stream.write("\n" + "".join(traceback.format_exception(*exc_info)).rstrip())


def _rendering(*, json: bool, colors: bool) -> list[Processor]:
    if json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        event_key="fact",
        timestamp_key="time",
        exception_formatter=plain_traceback,
    )
    return [console]


def _as_fact_line(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    # The name of a fact is not kept under `event`, which is a field of many facts.
    fields = line.pop("fields", {})
    return {"fact": line.pop("event"), **line, **fields}


def _as_library_line(logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    source = line["_record"].name if logger is None else logger.name
    return {"fact": "library.logged", "library": source, "message": line.pop("event"), **line}
