"""What the stores ask of a database: transactions, reads, the time, and numbers for new rows."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.event import Accepted, Publish
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import Instant

Result = TypeVar("Result")

Now = Callable[[Connection], Instant]
"""Tells the time by which rows are due, complete and expired: the database's own (EC5)."""


class Transactions(Protocol):
    """Runs scripts that write."""

    async def transact(
        self, script: Callable[[Connection], Result], *, dry_run: bool = False
    ) -> Result:
        """Run a script in a transaction of its own, which a dry run rolls back."""
        ...


class Reads(Protocol):
    """Runs scripts that only read, each statement on the newest snapshot."""

    async def run(self, script: Callable[[Connection], Result]) -> Result:
        """Run a script; raises ServerOverloaded where too many wait already."""
        ...


class LongReads(Protocol):
    """What takes long, and must not be in the way of anything."""

    async def audit(self, tenant: TenantId | None) -> AuditReport:
        """Count everything in one snapshot."""
        ...

    async def backup(self) -> Backup:
        """Copy the database."""
        ...


class Groups(Protocol):
    """Commits what many ask for at the same time as one."""

    async def append(self, publish: Publish) -> Sequence[Accepted]:
        """Accept a Publish with the next group."""
        ...

    async def record(self, engine: str, records: Sequence[Record]) -> Sequence[Recorded]:
        """Record attempts with the next group."""
        ...

    async def insert(
        self, count: int, script: Callable[[Connection, Sequence[int]], Result]
    ) -> Result:
        """Run a script in a transaction of its own, with so many seqs for new deliveries.

        Seqs go up in the order of commits, here and in groups.
        """
        ...
