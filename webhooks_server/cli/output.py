"""What commands print: pairs for people, or JSON for programs."""

import json
import sys
from collections.abc import Mapping

Value = str | int | bool | None


def print_pairs(pairs: Mapping[str, Value]) -> None:
    """Print one pair a line, the values below each other."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        shown = ("no", "yes")[value] if isinstance(value, bool) else value
        print(f"{name.ljust(width)}  {shown}")


def print_json(content: object) -> None:
    """Print one JSON text on one line."""
    # What another encoding lacks would be printed as an escape that JSON does not have.
    ascii_only = sys.stdout.encoding.lower() != "utf-8"
    print(json.dumps(content, ensure_ascii=ascii_only), flush=True)


def print_result(pairs: Mapping[str, Value], *, as_json: bool) -> None:
    """Print the result of a command."""
    if as_json:
        print_json(pairs)
    else:
        print_pairs(pairs)
