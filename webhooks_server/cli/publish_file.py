"""`publish --file` and `--stream`: JSON Lines in, a count of what became of them out."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from webhooks_server.cli.batches import Batch
from webhooks_server.cli.connection import open_client
from webhooks_server.cli.event_lines import EventLine, LineRefused, parse_line
from webhooks_server.cli.output import print_json
from webhooks_server.cli.raw_lines import MAX_LINE_BYTES, RawLine, read_lines
from webhooks_server.cli.senders import BatchSender, Sender, StreamSender
from webhooks_server.domain.errors import WebhooksError
from webhooks_server.domain.ids import IdSource, TenantId
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import Published, ServerClient
from webhooks_server.settings import ClientSettings

Show = Callable[[str], None]
Advance = Callable[[int], None]


class Tally:
    """Counts what became of the lines, and names each refused one as soon as it is known."""

    def __init__(self) -> None:
        """Start at nothing; `show` shows a text to the user."""
        self.show: Show = _print_error
        self.accepted = 0
        self.duplicates = 0
        self.refusals = 0

    def published(self, _line: EventLine, result: Published) -> None:
        """Count an event that is stored now."""
        self.duplicates += result.duplicate
        self.accepted += not result.duplicate

    def refused(self, number: int, reason: str) -> None:
        """Count a line that never will be, and show why."""
        self.refusals += 1
        self.show(f"line {number} refused: {reason}")

    def sum_up(self, *, as_json: bool) -> None:
        """Print the counts."""
        counts = {
            "accepted": self.accepted,
            "duplicate": self.duplicates,
            "refused": self.refusals,
        }
        if as_json:
            print_json(counts)
        else:
            print(", ".join(f"{name} {count}" for name, count in counts.items()))


class FilePublisher:
    """Takes lines one after the other and sends as many at once as fit a batch.

    Reading happens between two runs of the event loop, so that Ctrl-C ends a read that waits.
    """

    def __init__(self, runner: asyncio.Runner, sender: Sender, tally: Tally) -> None:
        """Take the sender, and the loop that its connection lives on."""
        self.batch = Batch()
        self._runner = runner
        self._sender = sender
        self._tally = tally
        self._ids = IdSource(SystemClock().wall)

    def take(self, raw: RawLine) -> None:
        """Put a line into the batch; a batch that has no room for it goes out first."""
        try:
            line = parse_line(raw.number, _within_bounds(raw), self._ids)
        except LineRefused as error:
            self._tally.refused(raw.number, str(error))
            return
        if not self.batch.takes(line):
            self.flush()
        self.batch.add(line)

    def flush(self) -> None:
        """Publish what waits in the batch."""
        if not self.batch.lines:
            return
        self._runner.run(self._sender.send(self.batch.lines))
        self.batch = Batch()


def publish_file(
    source: Path,
    tenant: TenantId,
    settings: ClientSettings | None,
    *,
    over_stream: bool,
    as_json: bool,
) -> int:
    """Publish all lines of a file, or of standard input (`-`); returns the exit status."""
    senders = StreamSender if over_stream else BatchSender
    tally = Tally()
    with _opened(source) as descriptor:
        try:
            with _progress(descriptor) as (tally.show, advance):
                _publish_lines(
                    descriptor,
                    lambda client: senders(client, tenant, tally),
                    settings,
                    tally,
                    advance,
                )
        finally:
            tally.sum_up(as_json=as_json)
    return 1 if tally.refusals else 0


def _publish_lines(
    descriptor: int,
    open_sender: Callable[[ServerClient], Sender],
    settings: ClientSettings | None,
    tally: Tally,
    advance: Advance,
) -> None:
    with asyncio.Runner() as runner:
        connection = AsyncExitStack()
        client = runner.run(connection.enter_async_context(open_client(settings)))
        publisher = FilePublisher(runner, open_sender(client), tally)
        try:
            for item in read_lines(descriptor):
                if isinstance(item, RawLine):
                    publisher.take(item)
                    advance(item.position)
                else:
                    publisher.flush()
            publisher.flush()
        except (WebhooksError, KeyboardInterrupt):
            _say_where(publisher.batch)
            raise
        finally:
            runner.run(connection.aclose())


def _say_where(batch: Batch) -> None:
    if batch.lines:
        first = batch.lines[0].number
        print(f"stopped: lines from {first} on may not be published", file=sys.stderr)


def _within_bounds(raw: RawLine) -> bytes:
    if raw.text is None:
        raise LineRefused(f"is longer than {MAX_LINE_BYTES} bytes")
    return raw.text


def _print_error(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _opened(source: Path) -> Iterator[int]:
    if str(source) == "-":
        yield sys.stdin.fileno()
        return
    with source.open("rb", buffering=0) as file:
        yield file.fileno()


@contextmanager
def _progress(descriptor: int) -> Iterator[tuple[Show, Advance]]:
    """Yield how to show a line and how to move the bar, which only a terminal gets."""
    if not sys.stderr.isatty():
        yield _print_error, lambda _position: None
        return
    status = os.fstat(descriptor)
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    columns = ("publishing", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        bar = progress.add_task("publishing", total=size)

        def show(text: str) -> None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        yield show, lambda position: progress.update(bar, completed=position)
