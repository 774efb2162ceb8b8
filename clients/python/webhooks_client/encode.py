"""Data as JSON text: compact, UTF-8, and such that the same data always gives the same bytes."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from webhooks.v1 import event_pb2 as pb
from webhooks_client.errors import invalid
from webhooks_client.events import Event, RawJson

_TEXTS = (
    "event_id",
    "event_type",
    "data_content_type",
    "source",
    "subject",
    "attributes",
    "data_schema",
)
_HALF_PAIR = "holds half a surrogate pair, which UTF-8 cannot carry"


@runtime_checkable
class _Model(Protocol):
    """A pydantic model, known by its method, so that pydantic need not be installed."""

    def model_dump(self, *, mode: str) -> object:
        """Return the model as what JSON has."""
        ...


def event_input(event: Event, path: str) -> pb.EventInput:
    """Return the message for an event; raises InvalidArgument, which names the field below path."""
    message = pb.EventInput()
    for name in _TEXTS:
        message.MergeFrom(_with_text(name, getattr(event, name), f"{path}.{name}"))
    if event.occur_time is not None:
        message.occur_time.CopyFrom(_timestamp(event.occur_time, f"{path}.occur_time"))
    if isinstance(event.data, bytes | bytearray | memoryview):
        if not event.data_content_type:
            raise invalid(f"{path}.data_content_type", "is required where data is bytes")
        message.data_bytes = bytes(event.data)
    else:
        message.data_json = _json_text(event.data, f"{path}.data")
    return message


def _with_text(name: str, value: Any, path: str) -> pb.EventInput:  # noqa: ANN401 - protobuf checks
    try:
        return pb.EventInput(**{name: value})
    except UnicodeEncodeError:
        raise invalid(path, _HALF_PAIR) from None
    except (TypeError, ValueError):
        expected = "texts by name" if name == "attributes" else "a text"
        raise invalid(path, f"must be {expected}") from None


def _timestamp(moment: datetime, path: str) -> Timestamp:
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(moment)
    except (TypeError, ValueError, OverflowError):
        raise invalid(path, "must be a datetime of the years 1 to 9999 in UTC") from None
    if moment.tzinfo is None:
        raise invalid(path, "needs a time zone")
    return timestamp


def payload_size(message: pb.EventInput) -> int:
    """Return the size of a payload in bytes."""
    return len(message.data_bytes) or len(message.data_json.encode())


def _json_text(data: object, path: str) -> str:
    try:
        text = data.text if isinstance(data, RawJson) else _ENCODER.encode(data)
        str.encode(text)  # which also refuses RawJson of bytes
    except UnicodeEncodeError:
        raise invalid(path, _HALF_PAIR) from None
    except RecursionError:
        raise invalid(path, "is nested too deep for JSON") from None
    except (TypeError, ValueError, json_format.Error) as error:
        raise invalid(path, f"cannot be JSON: {error}") from error
    return text


def _plain(value: object) -> object:
    """Return a value that JSON lacks as one that it has, one level deep."""
    if isinstance(value, RawJson):
        raise TypeError("RawJson is all of the data or no part of it")
    if isinstance(value, Message):
        return json_format.MessageToDict(value)
    if isinstance(value, _Model) and not isinstance(value, type):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    return _text(value)


def _text(value: object) -> str:
    match value:
        case datetime() | time():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case Decimal() if value.is_finite():
            # As text, because readers of JSON numbers round them.
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")


# A set has no form in JSON on purpose: its order changes from process to process, and the same
# event published again would count as another one with the same id.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
)
