"""A google.protobuf.Struct rendered as JSON text, once, at the door (api.md 1.4).

Compact, keys sorted; numbers that are whole and below 2^53 without a fraction, since a Struct holds
every number as a double.
"""

import json
import math

from google.protobuf.struct_pb2 import Struct, Value

_EXACT = 2**53
_ENCODER = json.JSONEncoder(
    separators=(",", ":"), sort_keys=True, allow_nan=False, ensure_ascii=False
)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class NotJson(ValueError):
    """A value that JSON cannot express."""


def render_struct(data: Struct) -> bytes:
    """Return the JSON text in UTF-8; raises NotJson, which says why there is none."""
    return _ENCODER.encode(_object(data)).encode()


def _object(data: Struct) -> Json:
    return {key: _value(value) for key, value in data.fields.items()}


def _value(value: Value) -> Json:
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value":
            return value.bool_value
        case "number_value":
            return _number(value.number_value)
        case "string_value":
            return value.string_value
        case "struct_value":
            return _object(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case _:
            raise NotJson("holds a value without a kind")


def _number(number: float) -> int | float:
    if not math.isfinite(number):
        raise NotJson("must not hold NaN or Infinity, which are not JSON")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number
