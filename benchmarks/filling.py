"""Rows by the hundred thousand, written into a store as the server itself would have left them.

A server has made the schema and the subscription with the number 1, and does not run.
"""

import time
from collections.abc import Sequence

from benchmarks.load import BODY
from benchmarks.stores import Store
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.storage.sql.schema import subscriptions

SLICE = 100_000
"""Rows of one transaction: a million at once would leave a write-ahead log of a gigabyte."""


async def add_subscriptions(
    store: Store, numbers: tuple[int, int], *, event_type: str, url: str
) -> None:
    """Add subscriptions with these numbers, the first and the last, like that of number 1.

    `event_type` is the one pattern of each, and `{}` in it and in `url` stands for the number.
    """
    pattern, target = (_with_number(text) for text in (event_type, url))
    changed = {
        "number": "i",
        "id": "'lane' || i",
        "uid": "'uid' || i",
        "partition": f"i % {PARTITIONS}",
        # Of its own for each, as for every change: by it the server knows what it has yet to load.
        "version": "i",
        "target_hash": store.bytes_of("'target' || i"),
        "events": f"'[\"' || {pattern} || '\"]'",
        "url": target,
    }
    columns = [column.name for column in subscriptions.columns]
    values = [changed.get(name, f"like_it.{name}") for name in columns]
    source = store.numbers(*numbers)
    rows = (
        f"INSERT INTO subscriptions ({', '.join(columns)}) SELECT {', '.join(values)}"  # noqa: S608
        f" FROM subscriptions AS like_it CROSS JOIN {source} WHERE like_it.number = 1"
    )
    patterns = (
        "INSERT INTO subscription_patterns (subscription, pattern, tenant)"  # noqa: S608
        f" SELECT i, {pattern}, 'default' FROM {source}"
    )
    version = f"UPDATE control SET version = {numbers[1]}"  # noqa: S608 - own number
    await store.run([rows, patterns, version])


async def add_backlog(
    store: Store, count: int, *, after: int = 0, lanes: tuple[int, int] = (1, 1)
) -> None:
    """Add events that are due since now, each for one of the lanes by turns, the first to the last.

    Their numbers come after the `after` that are there.
    """
    statements: list[str] = []
    last = after + count
    for first in range(after + 1, last + 1, SLICE):
        statements += _events_and_deliveries(store, first, min(first + SLICE - 1, last), lanes)
    await store.run([*statements, *store.last_numbers(last, last)])


def _events_and_deliveries(
    store: Store, first: int, last: int, lanes: tuple[int, int]
) -> Sequence[str]:
    now = time.time_ns() // 1000
    low, high = lanes
    source = store.numbers(first, last)
    lane = f"({low} + i % {high - low + 1})"
    payload, no_hash = store.bytes_of(f"'{BODY}'"), store.bytes_of("'hash'")
    # The public id of a delivery is its uid, and has 16 bytes.
    uid = store.bytes_of(f"substr('{'0' * 16}' || i, length('' || i) + 1)")
    events = (
        "INSERT INTO events (seq, tenant, id, event_type, payload, is_json, content_type,"  # noqa: S608
        " attributes, content_hash, matched_count, create_time)"
        f" SELECT i, 'default', 'evt_' || i, 'bench.lane' || ({lane} - 1) || '.tick', {payload},"
        f" 1, 'application/json', '{{}}', {no_hash}, 1, {now} FROM {source}"
    )
    deliveries = (
        "INSERT INTO deliveries (seq, uid, tenant, partition, subscription, event_seq, trigger,"  # noqa: S608
        " due_time, create_time)"
        f" SELECT i, {uid}, 'default', {lane} % {PARTITIONS}, {lane}, i, 1, {now}, {now}"
        f" FROM {source}"
    )
    return [events, deliveries]


def _with_number(text: str) -> str:
    return "'" + text.replace("{}", "' || i || '") + "'"
