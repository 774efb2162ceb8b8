"""How the values of this house are declared."""

from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import dataclass_transform

_Value = TypeVar("_Value")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(declared: type[_Value]) -> type[_Value]:
    """Make a dataclass whose fields are given by name and never assigned again.

    The type checker refuses an assignment. At run time nothing stands in its way: a frozen
    dataclass sets every field through a call, which trebles what it costs to make one, and each
    delivery makes a dozen.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(declared)
