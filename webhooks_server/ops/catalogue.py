"""Every figure that the process keeps: its name, its labels, and what it means.

docs/operations.md lists the same, with what to watch, and a test holds it to this.
"""

from typing import NamedTuple

PREFIX = "webhooks_"
TENANT = "tenant"
"""The label that is left out unless it is asked for, since it may have as many values as there are
customers (reliability.md, L13)."""

_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_LAG = (*_SECONDS, 60.0, 300.0, 1800.0, 10800.0)
_OPERATIONS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)


class Counter(NamedTuple):
    """What only grows, told as `<name>_total`."""

    meaning: str
    labels: tuple[str, ...] = ()


class Distribution(NamedTuple):
    """Values by size, told as a histogram with these upper bounds."""

    meaning: str
    bounds: tuple[float, ...] = _SECONDS


class Level(NamedTuple):
    """What goes up and down; one that has a bound tells that as `<name>_limit`."""

    meaning: str
    labels: tuple[str, ...] = ()


COUNTERS = {
    "events": Counter("Events taken, by whether their id was known", (TENANT, "result")),
    "deliveries": Counter("Deliveries that became final", (TENANT, "state")),
    "attempts": Counter("Requests to receivers that are on record", (TENANT, "outcome")),
    "records_late": Counter("Attempts recorded after their delivery was settled otherwise"),
    "calls": Counter("gRPC calls that arrived", ("method",)),
    "calls_failed": Counter("gRPC calls that were answered with an error", ("method", "reason")),
    "facts": Counter("Facts of the log, written or left out", ("fact",)),
    "faults": Counter("Faults: what failed that should not", ("fact",)),
}
DISTRIBUTIONS = {
    "publish_seconds": Distribution("From a Publish read to its events on stable storage"),
    "commit_seconds": Distribution("One group commit"),
    "commit_operations": Distribution("Publishes and recorded attempts in one group", _OPERATIONS),
    "attempt_seconds": Distribution("One request to a receiver"),
    "lag_seconds": Distribution("From a delivery's due time to its request", _LAG),
}
LEVELS = {
    "requests_in_flight": Level("Slots that send or wait for their record's place"),
    "unrecorded_results": Level("Attempts made that are not on record yet"),
    "class_requests_in_flight": Level("Requests of lanes that are not well", ("class",)),
    "requests_leased": Level("Requests in the hands of relays of other processes"),
    "payload_bytes_in_flight": Level("Payloads with receivers"),
    "pings_for_others": Level("Pings that other processes asked for and that are being sent"),
    "announcements_waiting": Level("What other processes are yet to be told"),
    "gates": Level("Target hosts and subscriptions with a limit, as far as they are in use"),
    "relays_attached": Level("Relays of other processes that send for this server"),
    "buffered_deliveries": Level("Due deliveries in memory"),
    "partitions_owned": Level("Partitions that this engine sends for"),
    "lanes": Level("Subscriptions with work in memory"),
    "breakers_open": Level("Subscriptions that are left alone for a while: their receiver fails"),
    "lane_timers": Level("Subscriptions that wait for a moment in memory"),
    "oldest_due_seconds": Level("How long the first delivery that may be sent has been due"),
    "payload_cache_bytes": Level("Events in memory"),
    "subscription_cache": Level("Subscriptions in memory, ready to sign for"),
    "fan_outs_owed": Level("Events whose deliveries are not all made, as far as was looked"),
    "disables_waiting": Level("Subscriptions that are about to be disabled"),
    "control_age_seconds": Level("Since subscriptions and pauses were last confirmed"),
    "store_writable": Level("1 while the store takes writes"),
    "publishes_waiting": Level("Publishes that wait for their commit"),
    "publishes_waiting_bytes": Level("Their size"),
    "records_waiting": Level("Batches of attempts that wait for their commit"),
    "changes_waiting": Level("Changes of the control data that wait for their turn"),
    "reads_waiting": Level("Reads that run or wait for a connection", ("pool",)),
    "wal_bytes": Level("Size of the write-ahead log"),
    "calls_running": Level("gRPC calls that run", ("kind",)),
    "stream_bytes": Level("What publish streams have read and not stored"),
    "background_tasks": Level("Work that outlives the call that began it"),
    "pings_running": Level("Pings that somebody waits for"),
}
