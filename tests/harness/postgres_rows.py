"""A PostgreSQL database with a million deliveries, made by the server itself in seconds."""

from tests.harness.postgres_database import Administrator

COUNT = 1_000_000
FIRST = 1_000_000
"""The first seq of all; those below are free."""
SUBSCRIPTIONS = 200
BACKLOG = 200_000
"""The newest deliveries: pending, all of the first subscription, whose receiver is down."""

_GROWING = ("deliveries", "events", "attempts", "subscriptions", "subscription_patterns")
_SUBSCRIPTIONS = f"""
INSERT INTO subscriptions
SELECT (jsonb_populate_record(s, jsonb_build_object('number', n, 'id', 'sub-' || n, 'uid', n::text,
  'version', n, 'partition', n % 256, 'target_hash', n::text, 'tenant', CASE n % 2
  WHEN 0 THEN 'default' ELSE 'tenant-' || n END))).*
FROM subscriptions AS s, generate_series(2, {SUBSCRIPTIONS}) AS n WHERE s.number = 1;
INSERT INTO subscriptions
SELECT (jsonb_populate_record(s, jsonb_build_object('number', n, 'id', 'sub-' || n, 'uid', n::text,
  'version', n, 'partition', n % 256, 'target_hash', n::text))).*
FROM subscriptions AS s, generate_series(1000, 21000) AS n WHERE s.number = 1;
INSERT INTO subscription_patterns SELECT number, 'a.' || number % 50, tenant FROM subscriptions
WHERE number > 1;
UPDATE control SET version = 21000;
"""  # noqa: S608 - numbers of our own
# One in a hundred of the older ones is pending, behind receivers that are slow.
_ROWS = f"""
CREATE TEMPORARY TABLE numbered AS
SELECT n, CASE WHEN n >= {FIRST + COUNT - BACKLOG} THEN 1 ELSE 1 + n % {SUBSCRIPTIONS} END AS sub,
  n >= {FIRST + COUNT - BACKLOG} OR n % 100 = 0 AS pending,
  1790000000000000 + n * 1000 AS at, decode(md5(n::text), 'hex') AS uid
FROM generate_series({FIRST}, {FIRST + COUNT - 1}) AS n;
INSERT INTO events (seq, tenant, id, event_type, payload, is_json, content_type, attributes,
  content_hash, matched_count, create_time)
SELECT n, 'default', 'old-' || n, 'a.' || n % 50, '{{}}', 1, 'application/json', '{{}}', 'x', 1, at
FROM numbered;
INSERT INTO deliveries (seq, uid, tenant, partition, subscription, event_seq, trigger, due_time,
  create_time, attempt_count, state, complete_time)
SELECT n, uid, 'default', sub % 256, sub, n, 1, CASE WHEN pending THEN at ELSE 0 END, at,
  CASE WHEN pending THEN 0 ELSE 1 END, CASE WHEN pending THEN 1 ELSE 2 + (n % 50 = 1)::int END,
  CASE WHEN pending THEN NULL ELSE at END FROM numbered;
INSERT INTO attempts (delivery_seq, number, token, outcome, start_time, latency, url, status_code,
  request_headers, response_headers, response_body)
SELECT n, 1, uid, 1, at, 1, 'https://receiver.example', 200, '', '', '' FROM numbered
WHERE NOT pending;
DROP TABLE numbered;
SELECT setval('event_numbers', {FIRST + COUNT}), setval('delivery_numbers', {FIRST + COUNT});
"""  # noqa: S608 - numbers of our own


def add_rows(administrator: Administrator) -> None:
    """Add them for the subscription with the number 1; nobody analyzes the tables by himself."""
    for table in _GROWING:
        administrator.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    administrator.execute(_SUBSCRIPTIONS)
    for statement in _ROWS.strip().split(";\n"):
        administrator.execute(statement)


def analyze(administrator: Administrator) -> None:
    """Let the planner know what is there."""
    administrator.execute(f"ANALYZE {', '.join(_GROWING)}")


def forget(administrator: Administrator) -> None:
    """Let the planner know as little as of a table that is new; for a superuser alone."""
    named = "SELECT oid FROM pg_class WHERE relname = ANY($1::text[])"
    tables = list(_GROWING)
    administrator.execute(
        "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid IN"  # noqa: S608
        f" ({named} UNION SELECT indexrelid FROM pg_index WHERE indrelid IN ({named}))",
        tables,
    )
    administrator.execute(f"DELETE FROM pg_statistic WHERE starelid IN ({named})", tables)  # noqa: S608
