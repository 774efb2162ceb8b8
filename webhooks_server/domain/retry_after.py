"""The Retry-After header: seconds, or an HTTP date (RFC 9110, 10.2.3)."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from webhooks_server.domain.times import DAY, Instant, Micros

# Not what float() takes: that knows signs, exponents, underscores, and the digits of all scripts.
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_retry_after(value: str, now: Instant) -> Micros | None:
    """Return the wait that the header asks for, within [0, 24 h]; None where it is neither form.

    Fractions of a second occur and are taken (Svix does so).
    """
    text = value.strip(" \t")
    if _SECONDS.fullmatch(text) is None:
        return _until(text, now)
    return Micros(round(min(float(text) * 1_000_000, DAY)))


def _until(text: str, now: Instant) -> Micros | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            # The old form of C, which names no zone, and -0000, which leaves it open.
            moment = moment.replace(tzinfo=UTC)
        wait = moment.timestamp() * 1_000_000 - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return Micros(round(max(0, min(wait, DAY))))
