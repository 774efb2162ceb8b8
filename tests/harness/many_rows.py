"""A SQLite database with as many rows as wanted, made in seconds."""

import sqlite3
from pathlib import Path

from tests.harness.shelf import START

SUBSCRIPTIONS = 100
PENDING_OF_A_HUNDRED = 5
DAY = 86_400_000_000

# Each event has one delivery, and each that is final one attempt. The newest part of the lanes is
# pending, as it is behind receivers that are away.
_FILL = """
PRAGMA synchronous = OFF;
PRAGMA cache_size = -200000;
BEGIN;
CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n;
INSERT INTO events (seq, tenant, id, event_type, payload, is_json, content_type, attributes,
  content_hash, matched_count, create_time)
SELECT i, 'default', printf('evt_%012d', i), 'invoice.paid', x'7b7d', 1, 'application/json', '{{}}',
  x'00', 1, {start} + i FROM n;
INSERT INTO deliveries (seq, uid, tenant, partition, subscription, event_seq, trigger, state,
  due_time, attempt_count, create_time, complete_time)
SELECT i, CAST(printf('%016d', i) AS BLOB), 'default', 1 + i % {subscriptions},
  1 + i % {subscriptions}, i, 1, CASE WHEN i > {final} THEN 1 ELSE 2 END, {start} + i,
  i <= {final}, {start} + i, CASE WHEN i <= {final} THEN {start} + i END FROM n;
INSERT INTO attempts (delivery_seq, number, token, outcome, start_time, latency, url, status_code,
  request_headers, response_headers, response_body)
SELECT i, 1, CAST(printf('%016d', i) AS BLOB), 1, {start}, 1, 'https://receiver.example/hook', 200,
  '', '', x'' FROM n WHERE i <= {final};
UPDATE control SET last_event = {count}, last_delivery = {count};
COMMIT;
"""


def add_rows(data_dir: Path, count: int) -> None:
    """Add events, deliveries and attempts for the subscriptions with the numbers 1 to 100."""
    script = _FILL.format(
        count=count,
        final=count - count * PENDING_OF_A_HUNDRED // 100,
        subscriptions=SUBSCRIPTIONS,
        start=START - DAY,
    )
    connection = sqlite3.connect(data_dir / "webhooks.db")
    connection.executescript(script)
    connection.close()
