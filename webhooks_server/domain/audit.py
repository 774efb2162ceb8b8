"""What Audit and BackupDatabase answer."""

from webhooks_server.domain.values import value


@value
class AuditReport:
    """Every row counted in one snapshot.

    What contradicts what must always be true (I1 to I9).
    """

    events: int
    unmatched_events: int
    deliveries: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    attempts: int
    violations: tuple[str, ...] = ()


@value
class Backup:
    """A finished copy of the database: its path on the server, and its size in bytes."""

    path: str
    size: int
