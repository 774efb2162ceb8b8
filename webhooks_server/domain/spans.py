"""Long spans of time as people write them: `30d`, `12h`, `90m`, `45s`, `off`."""

import re

from webhooks_server.domain.times import DAY, HOUR, MINUTE, SECOND, Micros

LONGEST = Micros(3650 * DAY)

_SPAN = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
_UNITS = {"": SECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def parse_span(value: str) -> Micros | None:
    """Return a span, None for `off` and 0; a number alone is seconds. Raises ValueError."""
    if value == "off":
        return None
    found = _SPAN.fullmatch(value)
    span = int(found[1]) * _UNITS[found[2]] if found else -1
    if not 0 <= span <= LONGEST:
        raise ValueError("must be a span such as 30d, 12h, 90m or 45s, at most 3650d, or off")
    return Micros(span) if span else None
