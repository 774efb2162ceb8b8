"""JSON Lines of events: each line an object, its `data` taken over byte for byte.

The value of `data` is cut out of the line as it is written there. Parsed and written anew it would
come out with other white space, other numbers or another order of keys.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from webhooks_server.domain.bounds import LARGEST_PAYLOAD_SETTING
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.times import Instant
from webhooks_server.rpc.client import EventDraft

_TEXTS = {
    "event_type": "event_type",
    "event_id": "event_id",
    "data_json": "data_json",
    "data_content_type": "content_type",
    "source": "source",
    "subject": "subject",
    "data_schema": "data_schema",
}
_KEYS = frozenset({*_TEXTS, "data", "data_bytes", "occur_time", "attributes"})
_PAYLOADS = ("data", "data_json", "data_bytes")
_SPACE = re.compile(r"[ \t\n\r]*")


class LineRefused(ValueError):
    """A line cannot be published; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One line that holds an event, with the bytes that it adds to a request."""

    number: int
    event: EventDraft
    payload_size: int
    size: int


def parse_line(number: int, line: bytes, ids: IdSource) -> EventLine:
    """Return the event of a line, with an id; raises LineRefused."""
    event = _event(_members(_text(line)), ids)
    if event.data_bytes is not None:
        payload_size = len(event.data_bytes)
    else:
        payload_size = len((event.data_json or "").encode())
    if payload_size > LARGEST_PAYLOAD_SETTING:
        raise LineRefused(
            f"data must have at most {LARGEST_PAYLOAD_SETTING} bytes, has {payload_size}"
        )
    return EventLine(number=number, event=event, payload_size=payload_size, size=len(line))


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise LineRefused(f"is not UTF-8 at byte {error.start + 1}") from None


def _refuse(constant: str) -> NoReturn:
    raise LineRefused(f"is not JSON: {constant} is not a JSON value")


# Only where a value ends is of interest, so numbers may be of any length and stay text.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def _members(line: str) -> dict[str, str]:
    """Return the raw text of each value of the object by its key."""
    members: dict[str, str] = {}
    try:
        for key, value in _each_member(line):
            if key not in _KEYS:
                raise LineRefused(f"{key[:64]!r} is not a field of an event")
            if key in members:
                raise LineRefused(f"names {key} twice")
            members[key] = value
    except json.JSONDecodeError as error:
        raise LineRefused(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise LineRefused("is nested too deep") from None
    return members


def _each_member(line: str) -> Iterator[tuple[str, str]]:
    position = _after(line, 0, "{")
    if line.startswith("}", position):
        _end(line, position + 1)
        return
    while True:
        if not line.startswith('"', position):
            raise json.JSONDecodeError("Expecting a key in double quotes", line, position)
        key, position = _DECODER.raw_decode(line, position)
        start = _after(line, _space(line, position), ":")
        _, end = _DECODER.raw_decode(line, start)
        yield key, line[start:end]
        position = _space(line, end)
        if line.startswith("}", position):
            break
        position = _after(line, position, ",")
    _end(line, position + 1)


def _space(line: str, position: int) -> int:
    found = _SPACE.match(line, position)
    return position if found is None else found.end()


def _after(line: str, position: int, mark: str) -> int:
    """Return the position behind the mark and white space on both its sides."""
    position = _space(line, position)
    if not line.startswith(mark, position):
        raise json.JSONDecodeError(f"Expecting {mark}", line, position)
    return _space(line, position + 1)


def _end(line: str, position: int) -> None:
    position = _space(line, position)
    if position != len(line):
        raise json.JSONDecodeError("More text after the object", line, position)


def _event(members: dict[str, str], ids: IdSource) -> EventDraft:
    given = [name for name in _PAYLOADS if name in members]
    if len(given) > 1:
        raise LineRefused(f"has both {given[0]} and {given[1]}")
    if "event_type" not in members:
        raise LineRefused("has no event_type")
    texts = {
        argument: _string(name, members[name])
        for name, argument in _TEXTS.items()
        if name in members
    }
    if "data" in members:
        texts["data_json"] = members["data"]
    texts["event_id"] = texts.get("event_id") or ids.event()
    return EventDraft(
        **texts,
        data_bytes=_bytes(members["data_bytes"]) if "data_bytes" in members else None,
        occur_time=_instant(members["occur_time"]) if "occur_time" in members else None,
        attributes=_attributes(members["attributes"]) if "attributes" in members else {},
    )


def _string(name: str, raw: str) -> str:
    value = json.loads(raw) if raw.startswith('"') else None
    if not isinstance(value, str):
        raise LineRefused(f"{name} must be a string")
    return _encodable(name, value)


def _encodable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LineRefused(f"{name} holds half of a surrogate pair") from None
    return value


def _bytes(raw: str) -> bytes:
    try:
        return base64.b64decode(_string("data_bytes", raw), validate=True)
    except binascii.Error:
        raise LineRefused("data_bytes must be base64") from None


def _instant(raw: str) -> Instant:
    problem = "occur_time must be a time such as 2026-11-24T05:00:00Z"
    try:
        moment = datetime.fromisoformat(_string("occur_time", raw))
    except ValueError as error:
        raise error if isinstance(error, LineRefused) else LineRefused(problem) from None
    if moment.tzinfo is None:
        raise LineRefused(problem)
    seconds = round(moment.replace(microsecond=0).timestamp())
    return Instant(seconds * 1_000_000 + moment.microsecond)


def _attributes(raw: str) -> dict[str, str]:
    if not raw.startswith("{"):
        raise LineRefused("attributes must be an object of strings")
    return {
        _encodable("a key of attributes", key): _string("each value of attributes", value)
        for key, value in _each_member(raw)
    }
