"""Opening a SQLite store: lock, checks, threads; and closing it in the reverse order."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from webhooks_server.domain.ids import EventSeq, IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.times import Instant
from webhooks_server.ports import Clock, Stores, Telemetry, Unheard
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.sql.config import (
    ENGINE_READERS,
    LONGEST_READ_SECONDS,
    READERS,
    SqliteConfig,
)
from webhooks_server.storage.sql.connection import (
    check_durable,
    reader_engine,
    writer_engine,
)
from webhooks_server.storage.sql.control import SqlControl
from webhooks_server.storage.sql.deliveries import SqlDeliveries
from webhooks_server.storage.sql.dialects import keep_state, read_state
from webhooks_server.storage.sql.dialects.sqlite import Numbers
from webhooks_server.storage.sql.events import SqlEvents
from webhooks_server.storage.sql.figures import watch_storage
from webhooks_server.storage.sql.lanes import SqlLanes
from webhooks_server.storage.sql.leases import SqliteLeases
from webhooks_server.storage.sql.lock import DataLock, hold_lock
from webhooks_server.storage.sql.long_reads import LongReads
from webhooks_server.storage.sql.readers import Gate, Readers
from webhooks_server.storage.sql.start import prepare_database
from webhooks_server.storage.sql.subscriptions import SqlSubscriptions
from webhooks_server.storage.sql.thread import WriterThread
from webhooks_server.storage.sql.writer import GroupWriter, keep_running

UNHEARD = Unheard()


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStores:
    """The stores, and the lock that tells others where this process listens."""

    stores: Stores
    lock: DataLock


class _Kept:
    """The clock and the numbers of a store, which are written down with what is made by them."""

    def __init__(self, clock: StoreClock, numbers: Numbers) -> None:
        self._clock = clock
        self._numbers = numbers

    def now(self, _: Connection) -> Instant:
        """Return the store's time."""
        return self._clock.now()

    def write(self, connection: Connection) -> None:
        """Write both down."""
        keep_state(connection, self._clock.now(), self._numbers)

    def new_event(self) -> Callable[[Connection], EventSeq]:
        """Draw the number of an event; what is returned writes that down, and gives it."""
        (seq,) = self._numbers.take_events(1)

        def keep(connection: Connection) -> EventSeq:
            self.write(connection)
            return EventSeq(seq)

        return keep


@asynccontextmanager
async def open_sqlite(
    config: SqliteConfig, index: MatchIndex, clock: Clock, telemetry: Telemetry = UNHEARD
) -> AsyncIterator[SqliteStores]:
    """Own a data directory and open its database, made or migrated where that is needed.

    Raises StartError: DataDirectoryInUse, DatabaseDamaged or SchemaMismatch.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(hold_lock(config.data_dir))
        prepare_database(config, clock.wall())
        gate = Gate()
        thread = WriterThread(writer_engine(config.database), config.database, gate)
        stack.callback(thread.close)
        await thread.run(check_durable)
        readers = Readers(reader_engine(config.database), gate, READERS, LONGEST_READ_SECONDS)
        stack.callback(readers.close)
        engine_readers = Readers(reader_engine(config.database), gate, ENGINE_READERS)
        stack.callback(engine_readers.close)
        latest, numbers = await thread.transact(read_state)
        store_clock = StoreClock(clock, latest)
        long_reads = LongReads(config, store_clock)
        stack.callback(long_reads.close)
        writer = GroupWriter(thread, index, store_clock, numbers, telemetry)
        watch_storage(telemetry, thread, writer, {"callers": readers, "engine": engine_readers})

        kept = _Kept(store_clock, numbers)
        now, owner = kept.now, Owner()
        lane_ids = IdSource(store_clock.now)
        async with keep_running(writer):
            yield SqliteStores(
                stores=Stores(
                    subscriptions=SqlSubscriptions(
                        thread, readers, engine_readers, now, kept.new_event
                    ),
                    events=SqlEvents(writer, thread, readers, engine_readers, now),
                    deliveries=SqlDeliveries(thread, readers, now),
                    lanes=SqlLanes(thread, writer, engine_readers, now, lane_ids, owner),
                    leases=SqliteLeases(thread, owner, store_clock.now),
                    control=SqlControl(thread, readers, long_reads, now, kept.write),
                ),
                lock=lock,
            )
