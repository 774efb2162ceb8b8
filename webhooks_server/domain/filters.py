"""Filters of a List: a documented part of AIP-160.

`field OP literal` joined by AND; OP is one of = != < <= > >= :, where `:` on a repeated field means
"has". A string literal may be quoted, and may end in `*` for any rest (with = and !=). Times
are RFC 3339.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

from webhooks_server.domain.errors import InvalidArgument, invalid
from webhooks_server.domain.times import Instant
from webhooks_server.domain.values import value

MAX_BYTES = 2048
MAX_TERMS = 20

_TOKEN = re.compile(
    r"""\s*(?:(?P<field>[A-Za-z_][A-Za-z0-9_.]*)\s*(?P<operator>!=|<=|>=|=|<|>|:)\s*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"()]+)))""",
    re.VERBOSE,
)
_AND = re.compile(r"\s+AND(?=\s)")
_ESCAPE = re.compile(r"\\(.)")


class Kind(Enum):
    """What a filter field holds, and so which operators and literals it takes."""

    TEXT = "a string"
    TEXTS = "a list of strings"
    TIME = "a time"
    CHOICE = "an enum value"


_OPERATORS = {
    Kind.TEXT: ("=", "!="),
    Kind.TEXTS: (":",),
    Kind.TIME: ("=", "!=", "<", "<=", ">", ">="),
    Kind.CHOICE: ("=", "!="),
}


@value
class Field:
    """A field that a List can be filtered by.

    For CHOICE the numbers by the names that callers write.
    """

    kind: Kind
    choices: Mapping[str, int] | None = None


@value
class Term:
    """One condition.

    The value is a string for TEXT and TEXTS, an Instant for TIME, a number for CHOICE.
    """

    field: str
    operator: str
    value: str | int
    is_prefix: bool = False


def parse_filter(text: str, fields: Mapping[str, Field]) -> tuple[Term, ...]:
    """Parse a filter.

    Raises InvalidArgument with INVALID_FILTER where it is outside the grammar or the fields.
    """
    if not text.strip():
        return ()
    if len(text.encode()) > MAX_BYTES:
        raise _wrong(f"must have at most {MAX_BYTES} bytes, has {len(text.encode())}")
    terms: list[Term] = []
    position = 0
    while True:
        token = _TOKEN.match(text, position)
        if token is None:
            raise _wrong(f"expected FIELD OPERATOR VALUE at character {position + 1}")
        terms.append(_term(token, fields))
        if len(terms) > MAX_TERMS:
            raise _wrong(f"must have at most {MAX_TERMS} terms")
        position = token.end()
        if not text[position:].strip():
            return tuple(terms)
        joint = _AND.match(text, position)
        if joint is None:
            raise _wrong(f"expected AND at character {position + 1}")
        position = joint.end()


def _term(token: re.Match[str], fields: Mapping[str, Field]) -> Term:
    name, operator = token["field"], token["operator"]
    field = fields.get(name)
    if field is None:
        raise _wrong(f"unknown field {name}; known: {', '.join(sorted(fields))}")
    if operator not in _OPERATORS[field.kind]:
        allowed = " ".join(_OPERATORS[field.kind])
        raise _wrong(f"{name} is {field.kind.value} and takes {allowed}, not {operator}")
    quoted = token["quoted"]
    literal = token["bare"] if quoted is None else _ESCAPE.sub(r"\1", quoted)
    if field.kind is Kind.TIME:
        return Term(field=name, operator=operator, value=_time(name, literal))
    if field.kind is Kind.CHOICE:
        return Term(
            field=name, operator=operator, value=_choice(name, literal, field.choices or {})
        )
    is_prefix = literal.endswith("*") and field.kind is Kind.TEXT
    value = literal[:-1] if is_prefix else literal
    if "\0" in value:
        raise _wrong(f"{name} must not contain the character NUL")
    return Term(field=name, operator=operator, value=value, is_prefix=is_prefix)


def _time(name: str, literal: str) -> Instant:
    try:
        span = datetime.fromisoformat(literal) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        # TypeError: a time without an offset, which would mean another moment on each machine.
        raise _wrong(f"{name} takes a time with an offset, such as 2026-11-20T00:00:00Z") from None
    return Instant((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds)


def _choice(name: str, literal: str, choices: Mapping[str, int]) -> int:
    if literal not in choices:
        raise _wrong(f"{name} takes one of {', '.join(choices)}")
    return choices[literal]


def _wrong(description: str) -> InvalidArgument:
    return invalid("filter", description, "INVALID_FILTER")
