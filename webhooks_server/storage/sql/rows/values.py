"""What all rows share."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

Row = tuple[str | int | bytes | None, ...]
"""The values of a row in the order of a tuple of column names."""
Columns = Mapping[str, Any] | RowMapping
"""A row that was read, by column; what a column holds is the schema's business."""


def compact(value: object) -> str:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))
