"""Lists that may look at many rows for a few: they stop in time, and a next page goes on (EC4)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from webhooks_server.domain.paging import Item, Page, PageRequest
from webhooks_server.storage.pages import page_of

SCAN_SECONDS = 0.15
"""After that a page ends early, it may be empty; AIP-158 lets it where there is a next one."""
# How many keys are looked at in one go: first so many for each row of the page, and then more as
# long as it goes quickly. A planner may read and sort a span as a whole, and so no more than that.
_KEYS_FOR_A_ROW = 3
_GROWTH = 4
_QUICK_SECONDS = 0.01


def scan_page(
    connection: Connection,
    query: Select[Any],
    key: ColumnElement[int],
    page: PageRequest,
    item_of: Callable[[RowMapping], Item],
    key_of: Callable[[Item], int],
    size_of: Callable[[Item], int],
) -> Page[Item]:
    """Return a page of what a query finds, by a key that is above 0, descending."""
    scan = _Scan(connection, query, key, page)
    found = page_of(map(item_of, scan.rows()), page, key_of, size_of)
    return found if found.next_before else replace(found, next_before=scan.stopped_before)


class _Scan:
    """Reads span by span: what is between two keys can be left off and gone on with."""

    def __init__(
        self, connection: Connection, query: Select[Any], key: ColumnElement[int], page: PageRequest
    ) -> None:
        self._connection = connection
        self._query = query.order_by(key.desc())
        self._key = key
        self._page = page
        self.stopped_before: int | None = None

    def rows(self) -> Iterator[RowMapping]:
        """Yield rows: at most one more than the page holds, fewer where the time is over."""
        deadline = time.monotonic() + SCAN_SECONDS
        left = self._page.size + 1
        high, span = self._top(), _KEYS_FOR_A_ROW * left
        while high > 1 and left:
            begun, low = time.monotonic(), max(1, high - span)
            for row in self._read(low, high, left):
                yield row
                left -= 1
            now, high = time.monotonic(), low
            if now > deadline and high > 1:
                self.stopped_before = high
                return
            if now - begun < _QUICK_SECONDS:
                span *= _GROWTH

    def _top(self) -> int:
        if self._page.before is not None:
            return self._page.before
        return (self._connection.execute(select(func.max(self._key))).scalar() or 0) + 1

    def _read(self, low: int, high: int, most: int) -> Iterator[RowMapping]:
        query = self._query.where(self._key >= low, self._key < high).limit(most)
        yield from self._connection.execute(query).mappings()
