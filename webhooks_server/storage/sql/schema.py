"""The tables. All times are whole microseconds (domain.times).

A change here needs a migration in `migrations/versions` and its revision in REVISIONS; a test
holds the two ways to the newest schema against each other. No foreign keys lead from deliveries or
attempts: they would cost half the insert rate (engine.md, EB4), and the audit keeps them honest.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

REVISIONS = ("0001", "0002", "0003", "0004")
"""All schema revisions, the oldest first."""

metadata = MetaData()

# Only a column declared INTEGER is the row's own key in SQLite.
_KEY = BigInteger().with_variant(Integer(), "sqlite")
_LIVE = text("deleted = 0")
_PENDING = text("state = 1")
VACUUMED_OFTEN = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_cost_delay": 0,
}
"""How PostgreSQL keeps a table whose rows are all changed soon (reliability.md, S10)."""


def _text(name: str, default: str | None = "") -> Column[str]:
    return Column(
        name, Text, nullable=False, server_default=None if default is None else text(f"'{default}'")
    )


def _small(name: str, default: int | None = 0) -> Column[int]:
    return Column(
        name,
        SmallInteger,
        nullable=False,
        server_default=None if default is None else text(str(default)),
    )


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# One row. `version` orders all changes of control data (EA9); the rest is the clock and the numbers
# of a database that has neither of its own.
control = Table(
    "control",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    _time("clock"),
    Column("last_event", BigInteger, nullable=False),
    Column("last_delivery", BigInteger, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    _time("create_time"),
)

server_keys = Table(
    "server_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    _time("create_time"),
)

relay_pauses = Table(
    "relay_pauses",
    metadata,
    Column("tenant", Text, primary_key=True),
    _text("reason"),
    _time("pause_time"),
)

request_ids = Table(
    "request_ids",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    _text("answer", None),
    _time("create_time"),
    PrimaryKeyConstraint("tenant", "request_id"),
    Index("request_ids_by_time", "create_time"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("number", _KEY, primary_key=True, autoincrement=False),
    _text("tenant", None),
    _text("id", None),
    _text("uid", None),
    _small("partition", None),
    Column("version", BigInteger, nullable=False),
    _small("state", None),
    _small("deleted"),
    _text("url", None),
    Column("target_hash", LargeBinary, nullable=False),
    _text("content_type", None),
    _text("secret", None),
    Column("previous_secret", Text),
    _time("previous_secret_expire_time", nullable=True),
    _text("signature_schemes", None),
    _text("headers", None),
    _text("secret_headers", None),
    Column("timeout", BigInteger, nullable=False),
    Column("max_in_flight", Integer, nullable=False),
    _text("events", None),
    _text("display_name"),
    _small("active", None),
    _small("paused", None),
    _text("pause_reason"),
    Column("disable_reason", SmallInteger),
    _text("retry_policy", None),
    _text("annotations", None),
    _text("creator"),
    _time("create_time"),
    _time("update_time"),
    Column("max_requests_per_minute", Integer, nullable=False, server_default=text("0")),
    # What the lane's owner keeps beside the subscription, without a version of its own: how badly
    # the receiver fails (domain.breaker), and until when nothing is sent to it for that (EC9).
    _small("failing"),
    Column("breaker_time", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("tenant", "id"),
    Index("subscriptions_by_version", "version"),
    Index("subscriptions_by_tenant", "tenant", "number"),
    # Same URL and same set of patterns: once per tenant, as long as it lives.
    Index(
        "subscriptions_by_target",
        "tenant",
        "target_hash",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
)

subscription_patterns = Table(
    "subscription_patterns",
    metadata,
    Column("subscription", BigInteger, nullable=False),
    _text("pattern", None),
    _text("tenant", None),
    PrimaryKeyConstraint("subscription", "pattern"),
    Index("subscription_patterns_by_pattern", "tenant", "pattern"),
)

# PostgreSQL alone has them; SQLite's numbers are in `control`.
event_numbers = Sequence("event_numbers", metadata=metadata)
delivery_numbers = Sequence("delivery_numbers", metadata=metadata)
engine_numbers = Sequence("engine_numbers", metadata=metadata)

events = Table(
    "events",
    metadata,
    Column("seq", _KEY, primary_key=True, autoincrement=False),
    _text("tenant", None),
    _text("id", None),
    _text("event_type", None),
    Column("payload", LargeBinary, nullable=False),
    _small("is_json", None),
    _text("content_type", None),
    _text("source"),
    _text("subject"),
    _time("occur_time", nullable=True),
    _text("attributes", None),
    _text("data_schema"),
    _text("publisher"),
    _text("traceparent"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("matched_count", BigInteger, nullable=False),
    _time("create_time"),
    UniqueConstraint("tenant", "id"),
)

# Events that are being removed, and so gone for every reader (EA13). Not a column of events: to
# change it would write the whole row anew, payload and all.
event_purges = Table(
    "event_purges",
    metadata,
    Column("event_seq", _KEY, primary_key=True, autoincrement=False),
)

# The targets of an event beyond the first, 4 bytes each, and how many have their row (EA6).
fanouts = Table(
    "fanouts",
    metadata,
    Column("event_seq", _KEY, primary_key=True, autoincrement=False),
    _text("tenant", None),
    _small("trigger", None),
    Column("numbers", LargeBinary, nullable=False),
    Column("position", Integer, nullable=False, server_default=text("0")),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", _KEY, primary_key=True, autoincrement=False),
    Column("uid", LargeBinary, nullable=False, unique=True),
    _text("tenant", None),
    _small("partition", None),
    Column("subscription", BigInteger, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    _small("trigger", None),
    # 0 = none. Not NULL, which UNIQUE would not bind (EA7).
    Column("replay", BigInteger, nullable=False, server_default=text("0")),
    _small("state", 1),
    _text("reason"),
    _time("due_time"),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column("charged_count", Integer, nullable=False, server_default=text("0")),
    Column("retry_requests", Integer, nullable=False, server_default=text("0")),
    _time("retry_time", nullable=True),
    _small("final_before"),
    _time("create_time"),
    _time("complete_time", nullable=True),
    UniqueConstraint("event_seq", "subscription", "replay"),
    Index("deliveries_by_subscription", "subscription", "seq"),
    Index(
        "deliveries_pending",
        "partition",
        "subscription",
        "due_time",
        "seq",
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    ),
    postgresql_with=VACUUMED_OFTEN,
)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_seq", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("token", LargeBinary, nullable=False, unique=True),
    _small("outcome", None),
    _small("late"),
    _time("start_time"),
    Column("latency", BigInteger, nullable=False),
    _text("url", None),
    Column("status_code", Integer, nullable=False),
    _text("error_message"),
    _text("remote_ip_address"),
    _text("request_headers", None),
    _text("response_headers", None),
    Column("response_body", LargeBinary, nullable=False),
    _small("response_body_truncated"),
    Column("retry_after", BigInteger),
    _text("relay"),
    UniqueConstraint("delivery_seq", "number"),
)

partitions = Table(
    "partitions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _text("owner"),
    Column("epoch", BigInteger, nullable=False),
)

# The subscriptions whose deliveries have only failed since a time. Not columns of theirs: a failure
# is no change of control data, and waits for nobody who makes one.
failures = Table(
    "failures",
    metadata,
    Column("subscription", _KEY, primary_key=True, autoincrement=False),
    _time("since"),
    Column("exhausted_count", Integer, nullable=False),
)

# The engines of a database that several can share; none on SQLite. `number` names the advisory lock
# that an engine's session holds, `beat` counts up as long as it lives (engine.md, EB3).
engines = Table(
    "engines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("beat", BigInteger, nullable=False),
    Column("slots", Integer, nullable=False),
    _small("transient", None),
    Column("in_flight", Integer, nullable=False),
    _time("beat_time"),
    postgresql_with=VACUUMED_OFTEN,
)
