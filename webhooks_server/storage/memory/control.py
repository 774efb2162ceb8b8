"""The control data in memory, and the count of everything."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from typing_extensions import override

from webhooks_server.domain.audit import AuditReport, Backup, stuck_since
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.errors import NotSupported
from webhooks_server.domain.ids import SubscriptionNumber, TenantId, delivery_id
from webhooks_server.domain.subscription import RelayPause, State, Subscription
from webhooks_server.domain.times import SECOND, Instant
from webhooks_server.ports import ControlStore
from webhooks_server.storage.memory.rows import Rows, StoredDelivery
from webhooks_server.storage.transitions import DeliveryRow


class MemoryControl(ControlStore):
    """The port ControlStore."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @override
    async def pause_relay(self, tenant: str, reason: str) -> RelayPause:
        rows = self._rows
        rows.next_version()
        before = rows.pauses.get(tenant)
        since = rows.now() if before is None else before.pause_time
        pause = RelayPause(tenant=tenant, reason=reason, pause_time=since)
        rows.pauses[tenant] = pause
        return pause

    @override
    async def resume_relay(self, tenant: str) -> None:
        if self._rows.pauses.pop(tenant, None) is not None:
            self._rows.next_version()

    @override
    async def audit(self, tenant: TenantId | None) -> AuditReport:
        rows = self._rows
        events = [one for one in rows.events.values() if tenant in (None, one.tenant)]
        deliveries = [one for one in rows.deliveries.values() if tenant in (None, one.tenant)]
        states = [one.row.state for one in deliveries]
        attempts = sum(len(rows.attempts.get(one.row.seq, [])) for one in deliveries)
        owed = sum(
            len(fan_out.numbers) - fan_out.position
            for seq, fan_out in rows.fan_outs.items()
            if tenant in (None, rows.events[seq].tenant)
        )
        matched = sum(one.delivery_count for one in events)
        counted = sum(one.row.attempt_count for one in deliveries)
        checks = {
            f"events matched {matched} subscriptions, but {len(deliveries)} first deliveries exist"
            f" and fan-outs owe {owed}": matched == len(deliveries) + owed,
            f"deliveries count {counted} attempts, but {attempts} exist": counted == attempts,
        }
        return AuditReport(
            events=len(events),
            unmatched_events=sum(one.delivery_count == 0 for one in events),
            deliveries=len(deliveries),
            pending=states.count(DeliveryState.PENDING),
            succeeded=states.count(DeliveryState.SUCCEEDED),
            failed=states.count(DeliveryState.FAILED),
            cancelled=states.count(DeliveryState.CANCELLED),
            expired=states.count(DeliveryState.EXPIRED),
            attempts=attempts,
            violations=(
                *(sentence for sentence, holds in checks.items() if not holds),
                *self._stuck(deliveries),
            ),
        )

    def _stuck(self, deliveries: Sequence[StoredDelivery]) -> Iterator[str]:
        """Name the first due delivery of each lane that stands still (EC12)."""
        rows = self._rows
        now = rows.now()
        since = stuck_since(now, rows.opened)
        lanes: defaultdict[SubscriptionNumber, list[StoredDelivery]] = defaultdict(list)
        for one in deliveries:
            lanes[one.subscription].append(one)
        for number, lane in lanes.items():
            waiting = [one for one in lane if one.row.state is DeliveryState.PENDING]
            if not waiting or any(_moved(one.row, since) for one in lane):
                continue
            first = min(waiting, key=_due)
            subscription = rows.subscriptions[number]
            if max(_due(first), subscription.update_time) >= since:
                continue
            name = delivery_id(first.row.uid)
            if subscription.deleted:
                yield (
                    f"delivery {name} is pending, but its subscription was deleted, and its lane"
                    " stands still"
                )
            elif not self._is_held(subscription, since):
                waited = (now - _due(first)) // SECOND
                yield f"delivery {name} has been due for {waited} s, and nothing holds it back"

    def _is_held(self, subscription: Subscription, since: Instant) -> bool:
        """Tell whether its state, a pause, or a breaker that was open since then is the reason."""
        if subscription.state is not State.ACTIVE:
            return True
        _, open_until = self._rows.failing.get(subscription.number, (0, Instant(0)))
        is_paused = {"", subscription.tenant} & self._rows.pauses.keys()
        return open_until >= since or bool(is_paused)

    @override
    async def backup(self) -> Backup:
        raise NotSupported("database", "a store in memory has nothing to back up")

    @override
    async def sweep(self) -> None:
        self._rows.forget_outdated()

    @override
    async def server_key(self) -> bytes:
        return self._rows.server_key

    @override
    async def ready(self) -> bool:
        return True


def _due(delivery: StoredDelivery) -> int:
    return delivery.row.next_attempt_time or 0


def _moved(row: DeliveryRow, since: Instant) -> bool:
    if row.state is DeliveryState.PENDING:
        return row.attempt_count > 0 and row.due_time >= since
    return (row.complete_time or 0) >= since
