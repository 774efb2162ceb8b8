"""The Retry-After header: seconds, or an HTTP date (RFC 9110, 10.2.3)."""

import math
from email.utils import parsedate_to_datetime

from webhooks_server.domain.times import DAY, Instant, Micros


def parse_retry_after(value: str, now: Instant) -> Micros | None:
    """Return the wait that the header asks for, within [0, 24 h]; None where it is neither form.

    Fractions of a second occur and are taken (Svix does so).
    """
    text = value.strip()
    try:
        wait = float(text) * 1_000_000
    except ValueError:
        return _until(text, now)
    if math.isnan(wait) or wait < 0:
        return None
    return Micros(round(min(wait, DAY)))


def _until(text: str, now: Instant) -> Micros | None:
    try:
        moment = parsedate_to_datetime(text)
        wait = moment.timestamp() * 1_000_000 - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return Micros(round(max(0, min(wait, DAY))))
