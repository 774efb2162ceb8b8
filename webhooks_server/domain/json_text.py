"""The check of a JSON payload: one RFC 8259 text, since the bytes go out exactly as they came.

Numbers of any length, repeated keys and lone surrogate escapes pass; NaN, Infinity and deep nesting
do not.
"""

import json
import re
from typing import NoReturn

MAX_DEPTH = 128
_TOO_DEEP = f"must be nested at most {MAX_DEPTH} levels deep"

# Possessive: what could be tried again is remembered, a hundred bytes for each character.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_NESTING = re.compile(r"[\[\]{}]")


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def json_problem(text: str) -> str | None:
    """Tell what is wrong with a JSON text, or None."""
    # RFC 8259, section 2: the only white space is space, tab, line feed and carriage return.
    stripped = text.strip(" \t\n\r")
    if not stripped:
        return "must be one JSON text, is empty"
    try:
        _, end = _DECODER.raw_decode(stripped)
    except json.JSONDecodeError as error:
        return f"must be one JSON text: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return "must be one JSON text: NaN and Infinity are not JSON"
    if end != len(stripped):
        return f"must be one JSON text: more text at character {end + 1}"
    # Only now, on valid JSON, where every string is closed and the pattern is linear.
    if stripped.count("[") + stripped.count("{") > MAX_DEPTH and _depth(stripped) > MAX_DEPTH:
        return _TOO_DEEP
    return None


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in _NESTING.finditer(_STRINGS.sub('""', text)):
        if bracket[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
