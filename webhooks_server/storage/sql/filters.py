"""Filters and pages of a List as SQL."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func

from webhooks_server.domain.filters import Term
from webhooks_server.domain.paging import PageRequest

Condition = Callable[[Term], ColumnElement[bool]]

_COMPARE: Mapping[str, Callable[[ColumnElement[Any], str | int], ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def on_column(column: ColumnElement[Any]) -> Condition:
    """Return what turns a term into a condition on this column."""

    def condition(term: Term) -> ColumnElement[bool]:
        compare = _COMPARE[term.operator]
        if term.is_prefix:
            # Not LIKE: in SQLite it takes a for A.
            prefix = str(term.value)
            return compare(func.substr(column, 1, len(prefix)), prefix)
        return compare(column, term.value)

    return condition


def filtered(
    query: Select[Any], terms: Sequence[Term], fields: Mapping[str, Condition]
) -> Select[Any]:
    """Narrow a query to what meets all terms."""
    return query.where(*(fields[term.field](term) for term in terms))


def narrowed(
    query: Select[Any],
    terms: Sequence[Term],
    fields: Mapping[str, Condition],
    key: ColumnElement[int],
    page: PageRequest,
) -> Select[Any]:
    """Narrow a query to a page and one row more, by key descending."""
    query = filtered(query, terms, fields)
    if page.before is not None:
        query = query.where(key < page.before)
    return query.order_by(key.desc()).limit(page.size + 1)
