"""Timestamps and durations of Protobuf, to whole microseconds and back."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from webhooks_server.domain.times import Instant, Micros
from webhooks_server.services.violations import Violations

_MICROS = 1_000_000
_NANOS = 1_000_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_LONGEST_SECONDS = 315_576_000_000


def read_timestamp(value: Timestamp, path: str, violations: Violations) -> Instant:
    """Read a timestamp, cut to the microsecond."""
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _NANOS):
        violations.add(path, "must lie in the years 0001 to 9999")
        return Instant(0)
    return Instant(value.seconds * _MICROS + value.nanos // 1000)


def timestamp(instant: Instant) -> Timestamp:
    """Return an instant as a timestamp."""
    seconds, micros = divmod(instant, _MICROS)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def write_timestamp(instant: Instant, into: Timestamp) -> None:
    """Write an instant into the timestamp of a message, at half the price of timestamp()."""
    into.seconds, micros = divmod(instant, _MICROS)
    into.nanos = micros * 1000


def optional_timestamp(instant: Instant | None) -> Timestamp | None:
    """Return an instant as a timestamp, and nothing as nothing."""
    return None if instant is None else timestamp(instant)


def read_duration(value: Duration, path: str, violations: Violations) -> Micros:
    """Read a duration; what is below a microsecond rounds away from zero, never into a bound."""
    seconds, nanos = value.seconds, value.nanos
    has_one_sign = not (seconds < 0 < nanos or nanos < 0 < seconds)
    if abs(seconds) > _LONGEST_SECONDS or abs(nanos) >= _NANOS or not has_one_sign:
        violations.add(path, "must be a duration of at most 10,000 years")
        return Micros(0)
    total = seconds * _NANOS + nanos
    return Micros(-(-total // 1000) if total > 0 else total // 1000)


def duration(span: Micros) -> Duration:
    """Return a span of microseconds as a duration."""
    whole, rest = divmod(abs(span), _MICROS)
    sign = -1 if span < 0 else 1
    return Duration(seconds=sign * whole, nanos=sign * rest * 1000)


def optional_duration(span: Micros | None) -> Duration | None:
    """Return a span as a duration, and nothing as nothing."""
    return None if span is None else duration(span)
