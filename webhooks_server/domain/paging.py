"""Pages of a List: keyset pages over one number, the newest first (AIP-158)."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from webhooks_server.domain.values import value

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

Item = TypeVar("Item", covariant=True)


@value
class PageRequest:
    """Which page: at most `size` items whose key is below `before`; None begins with the newest."""

    size: int = DEFAULT_PAGE_SIZE
    before: int | None = None


@value
class Page(Generic[Item]):
    """A page of a List; `next_before` asks for the next one, None where this is the last."""

    items: Sequence[Item]
    next_before: int | None = None


def page_size(asked: int) -> int:
    """Return the page size for what was asked.

    0 stands for the default, above the maximum for the maximum.
    """
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
