"""Token buckets, each as one moment: when it would be full again (GCRA)."""

from webhooks_server.domain.values import value

_SECONDS_PER_MINUTE = 60.0
_ROUNDING = 1e-6
BURST_SECONDS = 1.0
"""What a bucket holds: so many seconds' worth of requests, and one at least."""


@value
class Rate:
    """So many requests in a time: one each `interval` seconds, and `slack` seconds' worth early."""

    interval: float
    slack: float

    def full_after(self, empty_at: float) -> float:
        """Return when a bucket is full that was empty at a moment."""
        return empty_at + self.slack + self.interval

    def free_at(self, full_at: float) -> float:
        """Return from when on a bucket holds a token."""
        return full_at - self.slack

    def taken(self, full_at: float, now: float) -> float:
        """Return when a bucket is full after a token was taken."""
        return max(full_at, now) + self.interval


def per_minute(requests: int) -> Rate:
    """Return the rate of so many requests a minute."""
    interval = _SECONDS_PER_MINUTE / requests
    return Rate(interval=interval, slack=max(0.0, BURST_SECONDS - interval) + _ROUNDING)


def shared(requests: int, engines: int) -> int:
    """Return an engine's share of a bound over all engines; 0 stays none (engine.md, EC10)."""
    return max(1, requests // max(1, engines)) if requests else 0
