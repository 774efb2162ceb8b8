"""Events on SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select
from typing_extensions import override

from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import EventId, EventSeq, TenantId
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.retention import PurgeStep
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.ports import EventStore
from webhooks_server.storage.pages import event_size
from webhooks_server.storage.refusals import no_event
from webhooks_server.storage.sql.database import Groups, Now, Reads, Transactions
from webhooks_server.storage.sql.dialects import dialect_of
from webhooks_server.storage.sql.filters import filtered, on_column
from webhooks_server.storage.sql.retention import (
    find_candidates,
    is_kept,
    mark,
    remove_marked,
)
from webhooks_server.storage.sql.rows.events import BASIC_EVENT, WHOLE_EVENT, event_of
from webhooks_server.storage.sql.scan import scan_page
from webhooks_server.storage.sql.schema import events

_FIELDS = {
    "event_type": on_column(events.c.event_type),
    "subject": on_column(events.c.subject),
    "source": on_column(events.c.source),
    "create_time": on_column(events.c.create_time),
}


class SqlEvents(EventStore):
    """The port EventStore."""

    def __init__(
        self,
        groups: Groups,
        transactions: Transactions,
        readers: Reads,
        engine_readers: Reads,
        now: Now,
    ) -> None:
        self._groups = groups
        self._transactions = transactions
        self._readers = readers
        self._engine_readers = engine_readers
        self._now = now

    @override
    async def append(self, publish: Publish) -> Sequence[Accepted]:
        return await self._groups.append(publish)

    @override
    async def get(self, tenant: TenantId, event: EventId) -> Event:
        query = select(*WHOLE_EVENT).where(
            events.c.tenant == tenant, events.c.id == event, is_kept(events.c.seq)
        )

        def read(connection: Connection) -> Event:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise no_event(tenant, event)
            return event_of(row)

        return await self._readers.run(read)

    @override
    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest, *, full: bool
    ) -> Page[Event]:
        query = select(*(WHOLE_EVENT if full else BASIC_EVENT)).where(is_kept(events.c.seq))
        if tenant is not None:
            # By seq until the page is full, and not by the index on (tenant, id): SQLite would read
            # and sort all events of the tenant for each page.
            query = query.where(func.coalesce(events.c.tenant, "") == tenant)
        query = filtered(query, terms, _FIELDS)

        def read(connection: Connection) -> Page[Event]:
            return scan_page(
                connection,
                query,
                events.c.seq,
                page,
                event_of,
                key_of=lambda event: event.seq,
                size_of=event_size,
            )

        return await self._readers.run(read)

    @override
    async def load(self, events: Sequence[EventSeq]) -> Sequence[Event]:
        return await self._engine_readers.run(
            lambda connection: [
                event_of(row) for row in dialect_of(connection).read_events(connection, events)
            ]
        )

    @override
    async def purge(self, age: Micros, after: EventSeq) -> PurgeStep:
        found = await self._engine_readers.run(
            lambda connection: find_candidates(connection, self._before(connection, age), after)
        )
        if found.events:
            await self._transactions.transact(
                lambda connection: mark(connection, found.events, self._before(connection, age))
            )
        if not (found.events or found.has_marked):
            return PurgeStep(events=0, deliveries=0, next_after=found.next_after)
        removed = await self._transactions.transact(remove_marked)
        return PurgeStep(
            events=removed.events,
            deliveries=removed.deliveries,
            next_after=found.next_after if removed.is_all else after,
        )

    def _before(self, connection: Connection, age: Micros) -> Instant:
        return Instant(self._now(connection) - age)
