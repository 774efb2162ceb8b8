"""How full each bound of a SQLite storage is."""

from collections.abc import Mapping

from webhooks_server.ports import Telemetry
from webhooks_server.storage.sql import backlog, readers, thread
from webhooks_server.storage.sql.backlog import Backlog
from webhooks_server.storage.sql.config import LARGEST_WAL
from webhooks_server.storage.sql.readers import Readers
from webhooks_server.storage.sql.thread import WriterThread
from webhooks_server.storage.sql.writer import GroupWriter


def watch_storage(
    telemetry: Telemetry, writing: WriterThread, writer: GroupWriter, pools: Mapping[str, Readers]
) -> None:
    """Let the levels of a storage be read."""
    watch_backlogs(telemetry, writer.backlog, writer.backlog)
    telemetry.watch("changes_waiting", lambda: writing.asked, bound=thread.MAX_WAITING)
    telemetry.watch("wal_bytes", writing.wal_size, bound=LARGEST_WAL)
    for name, pool in pools.items():
        _watch_pool(telemetry, name, pool)


def watch_backlogs(telemetry: Telemetry, accepting: Backlog, recording: Backlog) -> None:
    """Let it be read what waits for its commit; both may be the same."""
    watch = telemetry.watch
    watch("publishes_waiting", lambda: accepting.appends, bound=backlog.MAX_WAITING)
    watch("publishes_waiting_bytes", lambda: accepting.bytes, bound=backlog.MAX_WAITING_BYTES)
    watch("records_waiting", lambda: recording.batches)


def _watch_pool(telemetry: Telemetry, name: str, pool: Readers) -> None:
    telemetry.watch("reads_waiting", lambda: pool.asked, name, bound=readers.MAX_WAITING)
