"""The rest of the control data on SQL."""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select
from typing_extensions import override

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.errors import ServerOverloaded, StoreUnavailable
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.subscription import RelayPause
from webhooks_server.domain.times import Instant
from webhooks_server.ports import ControlStore
from webhooks_server.storage.sql.changes import next_version
from webhooks_server.storage.sql.database import LongReads, Now, Reads, Transactions
from webhooks_server.storage.sql.requests import forget_outdated, has_outdated
from webhooks_server.storage.sql.schema import relay_pauses, server_keys
from webhooks_server.storage.sql.seed import PAGE_KEY


class SqlControl(ControlStore):
    """The port ControlStore."""

    def __init__(
        self,
        transactions: Transactions,
        readers: Reads,
        long_reads: LongReads,
        now: Now,
        probe: Callable[[Connection], object],
    ) -> None:
        """Take what fails in a transaction where the database takes no writes, as `probe`."""
        self._transactions = transactions
        self._readers = readers
        self._long_reads = long_reads
        self._now = now
        self._probe = probe

    @override
    async def pause_relay(self, tenant: str, reason: str) -> RelayPause:
        def script(connection: Connection) -> RelayPause:
            next_version(connection)
            now = self._now(connection)
            mine = relay_pauses.c.tenant == tenant
            before = connection.execute(select(relay_pauses.c.pause_time).where(mine)).scalar()
            since = now if before is None else Instant(before)
            connection.execute(delete(relay_pauses).where(mine))
            connection.execute(
                insert(relay_pauses).values(tenant=tenant, reason=reason, pause_time=since)
            )
            return RelayPause(tenant=tenant, reason=reason, pause_time=since)

        return await self._transactions.transact(script)

    @override
    async def resume_relay(self, tenant: str) -> None:
        def script(connection: Connection) -> None:
            ended = connection.execute(delete(relay_pauses).where(relay_pauses.c.tenant == tenant))
            if ended.rowcount:
                next_version(connection)

        await self._transactions.transact(script)

    @override
    async def audit(self, tenant: TenantId | None) -> AuditReport:
        return await self._long_reads.audit(tenant)

    @override
    async def backup(self) -> Backup:
        return await self._long_reads.backup()

    @override
    async def sweep(self) -> None:
        # Asked first, so that there is no commit where there is nothing.
        if await self._readers.run(
            lambda connection: has_outdated(connection, self._now(connection))
        ):
            await self._transactions.transact(
                lambda connection: forget_outdated(connection, self._now(connection))
            )

    @override
    async def server_key(self) -> bytes:
        query = select(server_keys.c.key).where(server_keys.c.name == PAGE_KEY)
        return await self._readers.run(lambda connection: connection.execute(query).scalar_one())

    @override
    async def ready(self) -> bool:
        try:
            await self._transactions.transact(self._probe)
        except ServerOverloaded:
            # It has much to do, and does it.
            return True
        except StoreUnavailable:
            return False
        return True
