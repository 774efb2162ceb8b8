"""What the engine and administrators ask of a storage; the words of ports.stores hold here too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.ids import (
    EventSeq,
    SubscriptionNumber,
    TenantId,
)
from webhooks_server.domain.lanes import (
    FanOutStep,
    LaneHead,
    LaneRead,
    LaneRows,
    Settlement,
)
from webhooks_server.domain.subscription import RelayPause
from webhooks_server.ports.leases import Leases
from webhooks_server.ports.stores import DeliveryStore, EventStore, SubscriptionStore


class LaneStore(Protocol):
    """Deliveries as the engine that owns their partitions sees them."""

    async def find(self, partitions: Sequence[int]) -> Sequence[LaneHead]:
        """Return every (partition, subscription) with pending deliveries.

        Each comes with what is left until its first is due.
        """
        ...

    async def due(self, reads: Sequence[LaneRead]) -> Sequence[LaneRows]:
        """Return for each read the first pending rows of its lane by (due time, seq).

        They may be due or not, and are at most `limit`.
        """
        ...

    async def failing(
        self, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, int]:
        """Return how badly those of these lanes fail that do (LaneFailing.level).

        As it is on record now: SubscriptionStore.changes() tells it as of the last change.
        """
        ...

    async def record(self, records: Sequence[Record]) -> Sequence[Recorded]:
        """Record attempts durably, in one commit, each numbered by its delivery's row (EA1).

        Answers in order. What no database takes of a result is left out, and its delivery
        quarantined: only the store knows what that is. An error that is not Unavailable means that
        one of the records is not taken at all; the others may be stored.

        A record whose token is known changes nothing and is answered with the delivery as it
        stands. One whose epoch is stale, whose uid does not fit, or whose delivery is no longer
        pending is appended as late. Whose the epoch must be is said by the record (Record.engine),
        so that whoever hears of an attempt may record it.

        What an attempt says of its receiver (Record.failing) counts unless it is late: the failures
        of a subscription go on until a success, until it is enabled again, or is deleted.
        """
        ...

    async def settle(self, settlement: Settlement) -> int:
        """Make pending deliveries of one lane final without an attempt, at most `limit`.

        Returns how many.
        """
        ...

    async def fan_outs(self) -> Sequence[EventSeq]:
        """Return the events whose fan-out is not finished, the oldest first, at most 100."""
        ...

    async def fan_out(self, event: EventSeq) -> FanOutStep:
        """Insert the next deliveries of a fan-out, at most 1,000.

        The same commit moves its position (EA6).

        A target that was deleted meanwhile gets its row as CANCELLED. Unknown or finished: an empty
        last step.
        """
        ...


class ControlStore(Protocol):
    """The rest of the control data, and what administrators ask of a store."""

    async def pause_relay(self, tenant: str, reason: str) -> RelayPause:
        """Hold all deliveries of a tenant, or of all with an empty tenant.

        One in force keeps its time and gets the new reason. Takes the next control version.
        """
        ...

    async def resume_relay(self, tenant: str) -> None:
        """End the pause of exactly this tenant (or the global one).

        No error where there is none.
        """
        ...

    async def audit(self, tenant: TenantId | None) -> AuditReport:
        """Count every row in one snapshot and list what contradicts I9 and its sisters.

        Among it the first delivery of each lane that has been due for 5 minutes, while nothing held
        the lane and nothing of it was attempted (EC12). At most 20 violations.

        Raises TooMuchToRead where that takes too long, ServerOverloaded where another one runs.
        """
        ...

    async def backup(self) -> Backup:
        """Copy the database while it runs.

        Raises NotSupported where the store has tools of its own for that, else as audit() does.
        """
        ...

    async def sweep(self) -> None:
        """Forget what is kept for a while only: answers by request id, secrets included."""
        ...

    async def server_key(self) -> bytes:
        """Return the 32 byte key of page tokens.

        Shared by all servers of a store and made by its first migration.
        """
        ...

    async def ready(self) -> bool:
        """Tell whether the store answers and takes writes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One storage, whole: what `storage` opens and `app` hands round."""

    subscriptions: SubscriptionStore
    events: EventStore
    deliveries: DeliveryStore
    lanes: LaneStore
    leases: Leases
    control: ControlStore
