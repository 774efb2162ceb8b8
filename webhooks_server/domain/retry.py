"""What happens after an attempt: a decision is a value (api.md 2.3)."""

from webhooks_server.domain.delivery import DeliveryState, Outcome, Reason, Trigger, Uncharged
from webhooks_server.domain.subscription import ClientErrorPolicy, DisableReason, RetryPolicy
from webhooks_server.domain.times import DAY, HOUR, MINUTE, SECOND, Micros
from webhooks_server.domain.values import value

DEFAULT_MAX_ATTEMPTS = 10
DEFAULT_INITIAL_BACKOFF = Micros(5 * SECOND)
DEFAULT_MAX_BACKOFF = DAY
DEFAULT_MULTIPLIER = 2.0
LONGEST_WAIT = DAY
BLOCKED_WAIT = HOUR
INTERNAL_WAIT = Micros(5 * SECOND)
MAX_INTERNAL_ERRORS = 3
MAX_DOUBTFUL = 3
"""Attempts of a delivery that are not charged because the way out of this host may be gone."""
CHARGED_ABANDONMENT = 3
"""Of those in a row, this one is charged: the request itself may be what its senders die of."""
# Whatever this relay is short of may be there again soon; every attempt leaves a row.
LONGEST_OWN_WAIT = MINUTE
_LONGEST_RUN = 16
"""Faults of our own in a row that are counted: the wait is the longest long before."""

# The example schedule of the Standard Webhooks specification: the wait before attempt 2, 3, …
_TABLE = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
_GONE = 410
_RETRY_AFTER_HONOURED = frozenset({408, 425, 429, 503})
_ALWAYS_RETRIED = frozenset({408, 425, 429})


@value
class Tried:
    """What is known when an attempt has ended.

    `charged_count` and `uncharged` are those before it. It `is_ours` where it failed on this side,
    and `is_doubtful` where it failed on the way, though nothing is known to be wrong with that.
    """

    outcome: Outcome
    status_code: int
    retry_after: Micros | None
    charged_count: int
    uncharged: Uncharged
    trigger: Trigger
    final_before: bool
    is_ours: bool = False
    is_doubtful: bool = False

    @property
    def is_charged_to_nobody(self) -> bool:
        """Whether the receiver has no part in it (R7)."""
        if self.outcome is Outcome.ABANDONED:
            return self.uncharged.abandoned + 1 < CHARGED_ABANDONMENT
        return self.is_excused or self.outcome is Outcome.INTERNAL

    @property
    def is_excused(self) -> bool:
        """Whether it is ours to answer for; after a few doubtful ones it is the receiver's."""
        return self.is_ours or (self.is_doubtful and self.uncharged.doubtful < MAX_DOUBTFUL)


@value
class Decision:
    """The delivery's next state.

    For PENDING the wait in microseconds, and whether the attempt was charged.
    """

    state: DeliveryState
    reason: str = ""
    wait: Micros = Micros(0)
    charged: bool = True
    disable: DisableReason | None = None


DONE = Decision(state=DeliveryState.SUCCEEDED)
"""After a success, whatever else is known."""


def decide(policy: RetryPolicy, tried: Tried, jitter: float) -> Decision:
    """Decide what comes after an attempt; jitter is a uniform random number in [0.8, 1.2]."""
    if tried.outcome is Outcome.SUCCEEDED:
        return DONE
    if tried.is_charged_to_nobody:
        return _after_own_fault(tried)
    if tried.status_code == _GONE:
        return Decision(state=DeliveryState.FAILED, reason=Reason.GONE, disable=DisableReason.GONE)
    if _is_client_error(tried):
        if policy.client_error_policy is ClientErrorPolicy.FAIL_DELIVERY:
            return Decision(state=DeliveryState.FAILED, reason=Reason.CLIENT_ERROR)
        if policy.client_error_policy is ClientErrorPolicy.DISABLE_SUBSCRIPTION:
            return Decision(
                state=DeliveryState.FAILED,
                reason=Reason.CLIENT_ERROR,
                disable=DisableReason.CLIENT_ERROR,
            )
    attempts = tried.charged_count + 1
    if attempts >= attempts_allowed(policy, tried.trigger) or tried.final_before:
        return Decision(state=DeliveryState.FAILED, reason=Reason.ATTEMPTS_SPENT)
    return Decision(state=DeliveryState.PENDING, wait=_wait(policy, tried, attempts, jitter))


def count_uncharged(tried: Tried) -> Uncharged:
    """Return what a delivery has of attempts that were not charged, with this one."""
    before = tried.uncharged
    broken = before._replace(abandoned=0, own=0)
    if tried.outcome is Outcome.SUCCEEDED or not tried.is_charged_to_nobody:
        return broken
    if tried.outcome is Outcome.ABANDONED:
        return broken._replace(abandoned=before.abandoned + 1)
    if tried.is_excused:
        own = min(before.own + 1, _LONGEST_RUN)
        return broken._replace(own=own, doubtful=before.doubtful + (not tried.is_ours))
    return broken._replace(internal=min(before.internal + 1, MAX_INTERNAL_ERRORS))


def attempts_allowed(policy: RetryPolicy, trigger: Trigger) -> int:
    """Return how many charged attempts a delivery has; a ping has one."""
    return 1 if trigger is Trigger.PING else policy.max_attempts or DEFAULT_MAX_ATTEMPTS


def scheduled_wait(policy: RetryPolicy, attempts: int) -> Micros:
    """Return the wait after this many charged attempts, without jitter."""
    if (
        policy.initial_backoff is None
        and policy.max_backoff is None
        and not policy.backoff_multiplier
    ):
        return Micros(_TABLE[min(attempts, len(_TABLE)) - 1])
    initial = DEFAULT_INITIAL_BACKOFF if policy.initial_backoff is None else policy.initial_backoff
    longest = DEFAULT_MAX_BACKOFF if policy.max_backoff is None else policy.max_backoff
    multiplier = policy.backoff_multiplier or DEFAULT_MULTIPLIER
    # The exponent is bounded so that the power cannot overflow: 10 ms grow to a day long before.
    return Micros(round(min(longest, initial * multiplier ** min(attempts - 1, 64))))


def _wait(policy: RetryPolicy, tried: Tried, attempts: int, jitter: float) -> Micros:
    wait = round(scheduled_wait(policy, attempts) * jitter)
    if tried.outcome is Outcome.BLOCKED_ADDRESS:
        wait = max(wait, BLOCKED_WAIT)
    if tried.retry_after is not None and tried.status_code in _RETRY_AFTER_HONOURED:
        wait = max(wait, tried.retry_after)
    return Micros(min(wait, LONGEST_WAIT))


def _is_client_error(tried: Tried) -> bool:
    code = tried.status_code
    return (
        tried.outcome is Outcome.HTTP_ERROR
        and 400 <= code < 500  # noqa: PLR2004
        and code not in _ALWAYS_RETRIED
    )


def _after_own_fault(tried: Tried) -> Decision:
    if tried.trigger is Trigger.PING:
        return Decision(state=DeliveryState.FAILED, reason=Reason.ATTEMPTS_SPENT, charged=False)
    if tried.is_excused:
        wait = min(INTERNAL_WAIT * 2**tried.uncharged.own, LONGEST_OWN_WAIT)
        return Decision(state=DeliveryState.PENDING, wait=Micros(wait), charged=False)
    if tried.outcome is Outcome.ABANDONED:
        return Decision(state=DeliveryState.PENDING, charged=False)
    if tried.uncharged.internal + 1 >= MAX_INTERNAL_ERRORS:
        return Decision(state=DeliveryState.FAILED, reason=Reason.QUARANTINED, charged=False)
    return Decision(state=DeliveryState.PENDING, wait=INTERNAL_WAIT, charged=False)
