"""When a call is tried again: decided here, waited for in the clients."""

import random
import time
from dataclasses import dataclass

from webhooks_client.errors import WebhooksError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after what pauses, a call that is safe to repeat is tried.

    By default four times, after about 0.1, 0.4 and 1.6 seconds. `attempts=1` never tries again.
    """

    attempts: int = 4
    first_pause: float = 0.1
    multiplier: float = 4.0
    longest_pause: float = 2.0

    def pause(self, attempt: int, error: WebhooksError, spread: float) -> float | None:
        """Return the seconds to wait after this attempt, counted from 1, or None to give up.

        Spread, around 1.0, keeps clients that failed together from coming back together. A delay
        that the server asks for only ever lengthens the pause.
        """
        if attempt >= self.attempts or not error.is_transient:
            return None
        planned = self.first_pause * self.multiplier ** (attempt - 1)
        return max(min(planned, self.longest_pause) * spread, error.retry_delay or 0.0)


DEFAULT_RETRY = RetryPolicy()
ONCE = RetryPolicy(attempts=1)


class Tries:
    """The tries of one call, all of them within one deadline."""

    def __init__(self, policy: RetryPolicy, timeout: float) -> None:
        """Start the clock; timeout in seconds."""
        self._policy = policy
        self._deadline = time.monotonic() + timeout
        self._failed = 0

    def remaining(self) -> float:
        """Return the seconds left."""
        return max(self._deadline - time.monotonic(), 0.0)

    def pause_after(self, error: WebhooksError) -> float | None:
        """Return the seconds to wait before the next try, or None where there is none in time."""
        self._failed += 1
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - nothing secret
        pause = self._policy.pause(self._failed, error, spread)
        return pause if pause is not None and pause < self.remaining() else None
