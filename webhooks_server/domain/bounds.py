"""The input bounds (security.md, 5).

Each check returns what is wrong with a value in words, or None.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from webhooks_server.domain.patterns import pattern_problem
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import DAY, SECOND

MAX_PAYLOAD_BYTES = 256 * 1024
LARGEST_PAYLOAD_SETTING = 3 * 1024 * 1024
MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 3 * 1024 * 1024
MAX_OUTSTANDING_EVENTS = 1000
MAX_OUTSTANDING_BYTES = 4 * 1024 * 1024
MAX_CLIENT_ID = 128
MAX_PATTERNS = 64
MAX_URL = 2048
MAX_DISPLAY_NAME = 63
MAX_TEXT = 1024
MAX_MEDIA_TYPE = 127
MAX_REASON = 256
MAX_HEADERS = 20
MAX_HEADER_NAME = 64
MAX_HEADER_VALUE = 2048
MAX_HEADERS_BYTES = 8192
MAX_PAIRS = 64
MAX_PAIR_KEY = 63
MAX_PAIR_VALUE = 1024
MAX_ANNOTATIONS_BYTES = 16 * 1024
MIN_TIMEOUT, MAX_TIMEOUT = SECOND, 30 * SECOND
MAX_MAX_IN_FLIGHT = 256
MAX_REQUESTS_PER_MINUTE = 1_000_000
MAX_OVERLAP = 7 * DAY
DEFAULT_OVERLAP = DAY
MAX_ATTEMPTS = 100
MIN_BACKOFF, MAX_BACKOFF = 10_000, DAY
MAX_MULTIPLIER = 10.0
MIN_AGE, MAX_AGE = SECOND, 30 * DAY

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?", re.ASCII)
_ATTRIBUTE_KEY = re.compile(r"[a-z0-9_.-]{1,63}", re.ASCII)
_MEDIA_TYPE = re.compile(
    r"[!#$&^_.+\-0-9A-Za-z]+/[!#$&^_.+\-0-9A-Za-z]+"
    r"(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+="
    r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|\"[ !#-\[\]-~]*\"))*",
    re.ASCII,
)
_RESERVED_HEADERS = frozenset(
    "host content-type content-length transfer-encoding connection te trailer upgrade expect"
    " keep-alive user-agent cookie accept-encoding traceparent tracestate".split()
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "x-webhook-", "x-hub-", "ce-")


def text_problem(value: str, longest: int) -> str | None:
    """Check a free text: its length, and that every store can hold it."""
    if len(value) > longest:
        return f"must have at most {longest} characters, has {len(value)}"
    if "\0" in value:
        return "must not contain the character NUL"
    return None


def media_type_problem(value: str) -> str | None:
    """Check a media type such as application/json."""
    if len(value) > MAX_MEDIA_TYPE:
        return f"must have at most {MAX_MEDIA_TYPE} characters, has {len(value)}"
    if _MEDIA_TYPE.fullmatch(value) is None:
        return "must be a media type such as application/json"
    return None


def patterns_problem(patterns: Sequence[str]) -> str | None:
    """Check the event patterns of a subscription as a list; each by pattern_problem."""
    if not 1 <= len(patterns) <= MAX_PATTERNS:
        return f"must have 1 to {MAX_PATTERNS} patterns, has {len(patterns)}"
    if len(set(patterns)) != len(patterns):
        return "must not name a pattern twice"
    return next(
        (
            f"{pattern[:130]}: {problem}"
            for pattern in patterns
            if (problem := pattern_problem(pattern))
        ),
        None,
    )


def header_name_problem(name: str) -> str | None:
    """Check the name of a header that a subscription adds."""
    if len(name) > MAX_HEADER_NAME or _TOKEN.fullmatch(name) is None:
        return f"must be a header name of 1 to {MAX_HEADER_NAME} characters (RFC 9110 token)"
    lower = name.lower()
    if lower in _RESERVED_HEADERS or lower.startswith(_RESERVED_PREFIXES):
        return f"{name} is set by the server and cannot be given"
    return None


def header_value_problem(value: str) -> str | None:
    """Check the value of a header that a subscription adds; never echoes it."""
    if len(value) > MAX_HEADER_VALUE:
        return f"must have at most {MAX_HEADER_VALUE} characters, has {len(value)}"
    if value and _HEADER_VALUE.fullmatch(value) is None:
        return "must be visible ASCII, spaces and tabs, with no space at either end"
    return None


def headers_problem(headers: Iterable[tuple[str, str]]) -> str | None:
    """Check all headers of a subscription together, secret ones among them."""
    pairs = list(headers)
    if len(pairs) > MAX_HEADERS:
        return (
            f"headers and secret_headers must be at most {MAX_HEADERS} together, are {len(pairs)}"
        )
    if len({name.lower() for name, _ in pairs}) != len(pairs):
        return "headers and secret_headers must not name a header twice (case does not count)"
    size = sum(len(name) + len(value) for name, value in pairs)
    if size > MAX_HEADERS_BYTES:
        return (
            f"headers and secret_headers must have at most {MAX_HEADERS_BYTES} bytes together,"
            f" have {size}"
        )
    return None


def attributes_problem(attributes: Mapping[str, str]) -> str | None:
    """Check the attributes of an event."""
    if len(attributes) > MAX_PAIRS:
        return f"must have at most {MAX_PAIRS} pairs, has {len(attributes)}"
    for key, value in attributes.items():
        if _ATTRIBUTE_KEY.fullmatch(key) is None:
            return f"keys must be 1 to {MAX_PAIR_KEY} of a-z 0-9 _ . -"
        if problem := text_problem(value, MAX_PAIR_VALUE):
            return f"the value of {key} {problem}"
    return None


def annotations_problem(annotations: Mapping[str, str]) -> str | None:
    """Check the annotations of a subscription."""
    if len(annotations) > MAX_PAIRS:
        return f"must have at most {MAX_PAIRS} pairs, has {len(annotations)}"
    for key, value in annotations.items():
        if not key or text_problem(key, MAX_PAIR_KEY):
            return f"keys must have 1 to {MAX_PAIR_KEY} characters"
        if problem := text_problem(value, MAX_PAIR_VALUE):
            return f"the value of {key} {problem}"
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        return f"must have at most {MAX_ANNOTATIONS_BYTES} bytes together, have {size}"
    return None


def retry_policy_problems(policy: RetryPolicy) -> dict[str, str]:
    """Return what is wrong with a retry policy by field; empty where nothing is."""
    problems: dict[str, str] = {}
    if not 0 <= policy.max_attempts <= MAX_ATTEMPTS:
        problems["max_attempts"] = f"must be 1 to {MAX_ATTEMPTS}, or 0 for the default"
    initial, longest = policy.initial_backoff, policy.max_backoff
    if initial is not None and not MIN_BACKOFF <= initial <= MAX_BACKOFF:
        problems["initial_backoff"] = "must be 0.01s to 86400s"
    if longest is not None and not (initial or 5 * SECOND) <= longest <= MAX_BACKOFF:
        problems["max_backoff"] = "must be from initial_backoff (5s where not set) to 86400s"
    multiplier = policy.backoff_multiplier
    if multiplier and not 1.0 <= multiplier <= MAX_MULTIPLIER:
        problems["backoff_multiplier"] = "must be 1 to 10, or 0 for the default"
    if policy.max_age is not None and not MIN_AGE <= policy.max_age <= MAX_AGE:
        problems["max_age"] = "must be 1s to 2592000s (30 days)"
    return problems
