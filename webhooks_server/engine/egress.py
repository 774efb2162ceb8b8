"""Whether this host reaches anything at all (reliability L5)."""

from collections.abc import Callable

from webhooks_server.ports import Clock, Telemetry

WINDOW_SECONDS = 10.0
FEWEST_ATTEMPTS = 5
PROBES, SECONDS_BETWEEN_PROBES = 4, 1.0


class Egress:
    """Counts attempts that failed on this side, and pauses taking where most of them did.

    While it is lost, a few attempts a second go out to see whether it is back; none of those that
    fail on this side is charged. The lanes that had a success in this tenure decide, as long as
    there is one: receivers that never were reachable say nothing about us.
    """

    def __init__(self, clock: Clock, telemetry: Telemetry, back: Callable[[], None]) -> None:
        """Take the collaborators, and whom to tell that it is back."""
        self._monotonic = clock.monotonic
        self._telemetry = telemetry
        self._tell_back = back
        self._since = clock.monotonic()
        self._attempts = 0
        self._failed = 0
        self._any_proven = False
        self._probed_at = self._since
        self._probes = 0
        self.is_lost = False

    def reached(self) -> None:
        """Count an attempt that got as far as its receiver, or failed there."""
        self._attempts += 1
        self._any_proven = True
        if self.is_lost:
            self._become(lost=False)

    def failed(self, *, proven: bool) -> None:
        """Count an attempt that did not get out; `proven` where its lane had a success before."""
        if self._any_proven and not proven:
            return
        now = self._monotonic()
        if now - self._since > WINDOW_SECONDS:
            self._since, self._attempts, self._failed = now, 0, 0
        self._attempts += 1
        self._failed += 1
        if not self.is_lost and self._attempts >= FEWEST_ATTEMPTS and self._is_most:
            self._become(lost=True)

    def admits(self) -> bool:
        """Tell whether an attempt may start: while egress is lost, a few in each second."""
        if not self.is_lost:
            return True
        now = self._monotonic()
        if now - self._probed_at >= SECONDS_BETWEEN_PROBES:
            self._probed_at, self._probes = now, 0
        self._probes += 1
        return self._probes <= PROBES

    @property
    def _is_most(self) -> bool:
        return 2 * self._failed > self._attempts

    def _become(self, *, lost: bool) -> None:
        self.is_lost = lost
        self._since, self._attempts, self._failed = self._monotonic(), 0, 0
        self._probed_at, self._probes = self._since, PROBES
        self._telemetry.fact("egress.lost" if lost else "egress.back")
        if not lost:
            self._tell_back()
