"""A delivery by its resource name: read, or changed alone in its transaction (EB4)."""

from collections.abc import Callable

from sqlalchemy import Connection, RowMapping, select, update

from webhooks_server.domain.ids import SubscriptionId, TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage.refusals import delivery_name, no_delivery
from webhooks_server.storage.sql.retention import check_kept
from webhooks_server.storage.sql.rows.deliveries import (
    ROW_COLUMNS,
    delivery_row_of,
    delivery_row_values,
    select_deliveries,
)
from webhooks_server.storage.sql.schema import deliveries, subscriptions
from webhooks_server.storage.transitions import DeliveryRow


class NamedDelivery:
    """One delivery, to be read or changed."""

    def __init__(self, tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> None:
        self._parts = (tenant, subscription, uid)

    def read(self, connection: Connection, *, full: bool) -> RowMapping:
        """Read it as callers see it; raises NotFound."""
        tenant, subscription, uid = self._parts
        query = select_deliveries(full=full).where(
            deliveries.c.uid == uid,
            deliveries.c.tenant == tenant,
            subscriptions.c.id == subscription,
        )
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise no_delivery(tenant, subscription, uid)
        return row

    def change(
        self,
        connection: Connection,
        decide: Callable[[Connection, DeliveryRow, Instant], DeliveryRow],
        now: Instant,
    ) -> RowMapping:
        """Change its row, the only one in its transaction (EB4), and read it anew."""
        # The event before the delivery, as everybody locks them (EB4).
        check_kept(connection, self._parts[2], delivery_name(*self._parts))
        _hold(connection, self._parts[2])
        before = self.read(connection, full=False)
        row = delivery_row_of([before[name] for name in ROW_COLUMNS])
        changed = decide(connection, row, now)
        connection.execute(
            update(deliveries)
            .where(deliveries.c.seq == row.seq)
            .values(delivery_row_values(changed))
        )
        return self.read(connection, full=False)


def _hold(connection: Connection, uid: bytes) -> None:
    # On its own, since a row that was waited for is joined with nothing newer than the wait.
    connection.execute(select(deliveries.c.seq).where(deliveries.c.uid == uid).with_for_update())
