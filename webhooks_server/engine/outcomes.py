"""What came of attempts, in figures."""

from webhooks_server.domain.delivery import DeliveryState, Outcome, Record, Recorded
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Telemetry

# By number, which both count from 1: a member's name and its hash cost more than all the rest.
STATE_NAMES = ("", *(state.name.lower() for state in DeliveryState))
OUTCOME_NAMES = ("", *(outcome.name.lower() for outcome in Outcome))


class Outcomes:
    """Counts what is on record."""

    def __init__(self, index: MatchIndex, telemetry: Telemetry) -> None:
        """Take what tells whose a subscription is."""
        self._index = index
        self._telemetry = telemetry

    def count(self, record: Record, recorded: Recorded) -> None:
        """Count an attempt that was recorded, and its delivery where that is final now."""
        entry = self._index.get(record.subscription)
        tenant = "" if entry is None else entry.tenant
        telemetry, attempt = self._telemetry, record.attempt
        telemetry.count("attempts", tenant, OUTCOME_NAMES[attempt.outcome])
        telemetry.measure("attempt_seconds", attempt.latency / 1_000_000)
        if recorded.late:
            telemetry.count("records_late")
        elif recorded.state is not DeliveryState.PENDING:
            telemetry.count("deliveries", tenant, STATE_NAMES[recorded.state])
