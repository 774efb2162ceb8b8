"""Events by their ids, for the lists that name one."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, text

from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import TenantId
from webhooks_server.storage.sql.schema import events

# From tenant to tenant by the index on (tenant, id), in which no id is found without a tenant.
_OF_ANY_TENANT = text("""
    WITH RECURSIVE owner (tenant) AS (
      SELECT min(tenant) FROM events
      UNION ALL
      SELECT (SELECT min(tenant) FROM events WHERE tenant > owner.tenant)
      FROM owner WHERE tenant IS NOT NULL
    )
    SELECT seq FROM owner JOIN events ON events.tenant = owner.tenant WHERE events.id = :id
""")


def named_event(terms: Sequence[Term]) -> str | None:
    """Return the id of the one event that terms leave, None where they leave others too."""
    named = (
        str(term.value)
        for term in terms
        if term.field == "event" and term.operator == "=" and not term.is_prefix
    )
    return next(named, None)


def find_events(connection: Connection, tenant: TenantId | None, event: str) -> Sequence[int]:
    """Return the seqs of the events with an id: at most one of a tenant, None stands for all."""
    if tenant is None:
        return connection.execute(_OF_ANY_TENANT, {"id": event}).scalars().all()
    query = select(events.c.seq).where(events.c.tenant == tenant, events.c.id == event)
    return connection.execute(query).scalars().all()
