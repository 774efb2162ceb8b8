"""Filters of a List on values in memory."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

from webhooks_server.domain.filters import Term
from webhooks_server.domain.paging import Item, Page, PageRequest
from webhooks_server.storage.pages import page_of

Value = str | int | Sequence[str] | None

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def meets(terms: Sequence[Term], fields: Mapping[str, Value]) -> bool:
    """Tell whether a row, given as its fields, meets all terms; a time not set meets none."""
    return all(_meets(term, fields[term.field]) for term in terms)


def newest_first(
    items: Iterable[Item],
    page: PageRequest,
    key: Callable[[Item], int],
    size: Callable[[Item], int],
) -> Page[Item]:
    """Return a page of items in any order."""
    before = page.before
    wanted = (item for item in items if before is None or key(item) < before)
    return page_of(sorted(wanted, key=key, reverse=True), page, key, size)


def _meets(term: Term, value: Value) -> bool:
    if value is None:
        return False
    if isinstance(value, int):
        return isinstance(term.value, int) and _COMPARE[term.operator](value, term.value)
    if not isinstance(value, str):
        return term.value in value
    same = value.startswith(str(term.value)) if term.is_prefix else value == term.value
    return same == (term.operator == "=")
