"""What Audit and BackupDatabase answer."""

from webhooks_server.domain.times import SECOND, Instant, Micros
from webhooks_server.domain.values import value

STUCK_AFTER = Micros(300 * SECOND)
"""How long a lane may stand still while its first delivery is due and nothing holds it.

The back-stop sees every lane within about a minute, and a request ends within another; the rest is
for the lanes before it in the round.
"""


def stuck_since(now: Instant, opened: Instant) -> Instant:
    """Return before when a delivery must have been due to be stuck; 0, and so never, at first.

    Whatever fell due while no server ran is sent in the minutes after the start.
    """
    since = Instant(now - STUCK_AFTER)
    return since if opened < since else Instant(0)


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
