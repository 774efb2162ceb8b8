"""What whoever runs the server asks of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.bounds import MAX_REASON, text_problem
from webhooks_server.domain.delivery import DeliveryCounts
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.lanes import EngineStatus, PassResult
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import RelayPause
from webhooks_server.ports import (
    ControlStore,
    DeliveryStore,
    Engine,
    SubscriptionStore,
    Telemetry,
)
from webhooks_server.services.catching_up import catch_up
from webhooks_server.services.tenants import known_or_all
from webhooks_server.services.violations import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """How the sending goes: the pause in force, the deliveries by state, the engines that send."""

    pause: RelayPause | None
    counts: DeliveryCounts
    engines: Sequence[EngineStatus]


class Admin:
    """Looks after the whole server; a tenant of None means all of it."""

    def __init__(
        self,
        *,
        control: ControlStore,
        subscriptions: SubscriptionStore,
        deliveries: DeliveryStore,
        engine: Engine,
        index: MatchIndex,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports."""
        self._control = control
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._engine = engine
        self._index = index
        self._telemetry = telemetry

    async def relay_status(self, tenant: TenantId | None) -> RelayStatus:
        """Return how the sending goes."""
        known_or_all(tenant)
        await catch_up(self._index, self._subscriptions)
        return RelayStatus(
            pause=self._index.pause_of(tenant or ""),
            counts=await self._deliveries.counts(tenant),
            engines=self._engine.status(),
        )

    async def pause_relay(self, tenant: TenantId | None, reason: str) -> RelayPause:
        """Stop sending; events are still accepted and matched."""
        known_or_all(tenant)
        violations = Violations()
        violations.add("reason", text_problem(reason, MAX_REASON))
        violations.raise_any()
        pause = await self._control.pause_relay(tenant or "", reason)
        self._engine.changed()
        self._telemetry.fact("relay.paused", tenant=tenant or "")
        return pause

    async def resume_relay(self, tenant: TenantId | None) -> None:
        """Send again."""
        known_or_all(tenant)
        await self._control.resume_relay(tenant or "")
        self._engine.changed()
        self._telemetry.fact("relay.resumed", tenant=tenant or "")

    async def audit(self, tenant: TenantId | None) -> AuditReport:
        """Count every row, and name what contradicts what must always be true."""
        report = await self._control.audit(known_or_all(tenant))
        if report.violations:
            self._telemetry.fact("audit.violated", count=len(report.violations))
        return report

    async def notify(self, tenant: TenantId | None) -> PassResult:
        """Send everything that is due now; returns when that is settled."""
        return await self._engine.notify(known_or_all(tenant))

    async def backup(self) -> Backup:
        """Copy the database while it runs; raises NotSupported."""
        made = await self._control.backup()
        self._telemetry.fact("database.backed_up", path=made.path, size=made.size)
        return made

    def readiness(self) -> AsyncIterator[bool]:
        """Yield whether the server can do its work: now, and after each change."""
        return self._engine.readiness()

    async def page_token_key(self) -> bytes:
        """Return the 32 byte key that page tokens are signed with."""
        return await self._control.server_key()
