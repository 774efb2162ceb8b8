"""What the inner rooms state, as log lines: known fields alone, and no more than anybody reads."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from webhooks_server.ops.levels import level_of
from webhooks_server.ops.logs import LOGGER
from webhooks_server.ops.measures import Measures
from webhooks_server.ports import Clock, Span, Unheard, Untraced
from webhooks_server.ports.telemetry import Bound, Field

LINES_PER_SECOND = 20
"""Of each fact; what comes on top within the same second is counted and left out."""
MAX_TEXT = 512
MASK = "***"

# An allow-list: what is not on it has not been thought about and could be a secret or a payload.
FIELDS = frozenset(
    "abandoned accepted address attempt attempts bytes client_id code count deliveries delivery"
    " duration_ms engine epoch event event_type events from_version in_flight latency_ms level"
    " limit loop method name omitted outcome partition partitions path pending pid profile reason"
    " refused relay request_id seconds server_id settings size slots state status_code subscription"
    " subscriptions tenant to_version unrecorded url version work worker".split()
)

OpenSpan = Callable[[str, str], Span]


class Count(Protocol):
    """Telemetry.count."""

    def __call__(self, name: str, /, *labels: str, amount: int = 1) -> None:
        """Add to a counter."""


class Watch(Protocol):
    """Telemetry.watch."""

    def __call__(
        self, name: str, read: Callable[[], float], /, *labels: str, bound: Bound = None
    ) -> None:
        """Let a level be read."""


def _untraced(_name: str, parent: str) -> Span:
    return Untraced(parent)


@dataclass(slots=True)
class _Window:
    """How many lines of one fact were written since `start`, and how many were left out."""

    start: float
    written: int = 0
    omitted: int = 0


class ServerTelemetry:
    """ports.Telemetry: facts as log lines, figures for whoever asks, spans where they are wanted.

    At level debug every line is written; else at most LINES_PER_SECOND of each fact, and the next
    line of a fact says in `omitted` how many were left out before it.
    """

    def __init__(
        self, clock: Clock, measures: Measures | None = None, span: OpenSpan = _untraced
    ) -> None:
        """Take the clock that the rate is measured by; configure_logs comes first.

        Without measures no figures are kept, and without `span` no traces are made.
        """
        # Theirs as they are: one call less, several times for each delivery.
        figures: Measures | Unheard = Unheard() if measures is None else measures
        self.count: Count = figures.count
        self.measure: Callable[[str, float], None] = figures.measure
        self.watch: Watch = figures.watch
        self.span = span
        self._clock = clock
        self._logger = structlog.stdlib.get_logger(LOGGER)
        self._level = logging.getLogger(LOGGER).getEffectiveLevel()
        self._windows: dict[str, _Window] = {}

    def fact(self, name: str, /, **fields: Field) -> None:
        """Write the fact, unless its level or the rate says no."""
        self.count("facts", name)
        level = level_of(name, fields)
        if level < self._level:
            return
        omitted = self._omitted(name)
        if omitted is not None:
            self._logger.log(level, name, fields=shown(fields) | omitted)

    def fault(self, name: str, error: BaseException, /, **fields: str | int) -> None:
        """Write the fault with its traceback, unless the rate says no."""
        self.count("faults", name)
        omitted = self._omitted(name)
        if omitted is not None:
            self._logger.error(name, fields=shown(fields) | omitted, exc_info=error)

    def _omitted(self, name: str) -> dict[str, Field] | None:
        """Count a line: None where it is too many, else what to add to it."""
        if self._level <= logging.DEBUG:
            return {}
        now = self._clock.monotonic()
        window = self._windows.setdefault(name, _Window(start=now))
        if now - window.start >= 1.0:
            omitted, self._windows[name] = window.omitted, _Window(start=now, written=1)
            return {"omitted": omitted} if omitted else {}
        if window.written >= LINES_PER_SECOND:
            window.omitted += 1
            return None
        window.written += 1
        return {}


def shown(fields: dict[str, Field] | dict[str, str | int]) -> dict[str, Field]:
    """Return fields as they may be seen: those that are not on the list, and URLs, are masked."""
    return {name: _shown_value(name, value) for name, value in fields.items()}


def _shown_value(name: str, value: Field) -> Field:
    if name not in FIELDS:
        return MASK
    if not isinstance(value, str):
        return value
    text = masked_url(value) if name == "url" else value
    # One fact is one line, whatever a text that came from outside holds.
    printable = text if text.isprintable() else text.encode("unicode_escape").decode()
    return printable[:MAX_TEXT]


def masked_url(url: str) -> str:
    """Return scheme and host, and a hash of the rest, which in webhook URLs may be a credential."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return MASK
    rest = hashlib.sha256(f"{parts.path}?{parts.query}".encode()).hexdigest()[:8]
    return f"{parts.scheme}://{host}/{rest}"
