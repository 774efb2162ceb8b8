"""What all rows share."""

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

from sqlalchemy import RowMapping

Row = tuple[str | int | bytes | None, ...]
"""The values of a row in the order of a tuple of column names."""
Columns = Mapping[str, Any] | RowMapping
"""A row that was read, by column; what a column holds is the schema's business."""


def pack_pairs(pairs: Mapping[str, str]) -> str:
    """Return headers as lines: a name, its value, and so on."""
    text = "\n".join(chain.from_iterable(pairs.items()))
    if pairs and text.count("\n") != 2 * len(pairs) - 1:
        # No header may hold a line break; whoever sends one anyway must not break the record.
        text = "\n".join(one.replace("\n", " ") for one in chain.from_iterable(pairs.items()))
    return text if text.isascii() and "\0" not in text else storable(text)


def unpack_pairs(text: str) -> dict[str, str]:
    """Return the headers that pack_pairs() put into a text."""
    lines = text.split("\n") if text else []
    return dict(zip(lines[::2], lines[1::2], strict=True))


def storable(text: str) -> str:
    """Return a text with lone surrogates and NUL spelt out, which no column of text may hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def compact(value: object) -> str:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))
