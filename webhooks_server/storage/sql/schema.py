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

from webhooks_server.storage.sql.columns import (
    KEY,
    VACUUMED_OFTEN,
    small_column,
    text_column,
    time_column,
)

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""All schema revisions, the oldest first."""

metadata = MetaData()

_LIVE = text("deleted = 0")
_PENDING = text("state = 1")
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
    time_column("clock"),
    Column("last_event", BigInteger, nullable=False),
    Column("last_delivery", BigInteger, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    time_column("create_time"),
)

server_keys = Table(
    "server_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    time_column("create_time"),
)

relay_pauses = Table(
    "relay_pauses",
    metadata,
    Column("tenant", Text, primary_key=True),
    text_column("reason"),
    time_column("pause_time"),
)

request_ids = Table(
    "request_ids",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    text_column("answer", None),
    time_column("create_time"),
    PrimaryKeyConstraint("tenant", "request_id"),
    Index("request_ids_by_time", "create_time"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=False),
    text_column("tenant", None),
    text_column("id", None),
    text_column("uid", None),
    small_column("partition", None),
    Column("version", BigInteger, nullable=False),
    small_column("state", None),
    small_column("deleted"),
    text_column("url", None),
    Column("target_hash", LargeBinary, nullable=False),
    text_column("content_type", None),
    text_column("secret", None),
    Column("previous_secret", Text),
    time_column("previous_secret_expire_time", nullable=True),
    text_column("signature_schemes", None),
    text_column("headers", None),
    text_column("secret_headers", None),
    Column("timeout", BigInteger, nullable=False),
    Column("max_in_flight", Integer, nullable=False),
    text_column("events", None),
    text_column("display_name"),
    small_column("active", None),
    small_column("paused", None),
    text_column("pause_reason"),
    Column("disable_reason", SmallInteger),
    text_column("retry_policy", None),
    text_column("annotations", None),
    text_column("creator"),
    time_column("create_time"),
    time_column("update_time"),
    Column("max_requests_per_minute", Integer, nullable=False, server_default=text("0")),
    # What the lane's owner keeps beside the subscription, without a version of its own: how badly
    # the receiver fails (domain.breaker), and until when nothing is sent to it for that (EC9).
    small_column("failing"),
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
    text_column("pattern", None),
    text_column("tenant", None),
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
    Column("seq", KEY, primary_key=True, autoincrement=False),
    text_column("tenant", None),
    text_column("id", None),
    text_column("event_type", None),
    Column("payload", LargeBinary, nullable=False),
    small_column("is_json", None),
    text_column("content_type", None),
    text_column("source"),
    text_column("subject"),
    time_column("occur_time", nullable=True),
    text_column("attributes", None),
    text_column("data_schema"),
    text_column("publisher"),
    text_column("traceparent"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("matched_count", BigInteger, nullable=False),
    time_column("create_time"),
    UniqueConstraint("tenant", "id"),
)

# Events that are being removed, and so gone for every reader (EA13). Not a column of events: to
# change it would write the whole row anew, payload and all.
event_purges = Table(
    "event_purges",
    metadata,
    Column("event_seq", KEY, primary_key=True, autoincrement=False),
)

# The targets of an event beyond the first, 4 bytes each, and how many have their row (EA6).
fanouts = Table(
    "fanouts",
    metadata,
    Column("event_seq", KEY, primary_key=True, autoincrement=False),
    text_column("tenant", None),
    small_column("trigger", None),
    Column("numbers", LargeBinary, nullable=False),
    Column("position", Integer, nullable=False, server_default=text("0")),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", KEY, primary_key=True, autoincrement=False),
    Column("uid", LargeBinary, nullable=False, unique=True),
    text_column("tenant", None),
    small_column("partition", None),
    Column("subscription", BigInteger, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    small_column("trigger", None),
    # 0 = none. Not NULL, which UNIQUE would not bind (EA7).
    Column("replay", BigInteger, nullable=False, server_default=text("0")),
    small_column("state", 1),
    text_column("reason"),
    time_column("due_time"),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column("charged_count", Integer, nullable=False, server_default=text("0")),
    Column("retry_requests", Integer, nullable=False, server_default=text("0")),
    time_column("retry_time", nullable=True),
    small_column("final_before"),
    time_column("create_time"),
    time_column("complete_time", nullable=True),
    # Attempts that were not charged, as far as they decide anything (domain.delivery.Uncharged).
    small_column("abandoned_count"),
    small_column("own_count"),
    small_column("internal_count"),
    small_column("doubtful_count"),
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
    small_column("outcome", None),
    small_column("late"),
    time_column("start_time"),
    Column("latency", BigInteger, nullable=False),
    text_column("url", None),
    Column("status_code", Integer, nullable=False),
    text_column("error_message"),
    text_column("remote_ip_address"),
    text_column("request_headers", None),
    text_column("response_headers", None),
    Column("response_body", LargeBinary, nullable=False),
    small_column("response_body_truncated"),
    Column("retry_after", BigInteger),
    text_column("relay"),
    UniqueConstraint("delivery_seq", "number"),
)

partitions = Table(
    "partitions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    text_column("owner"),
    Column("epoch", BigInteger, nullable=False),
)

# The subscriptions whose deliveries have only failed since a time. Not columns of theirs: a failure
# is no change of control data, and waits for nobody who makes one.
failures = Table(
    "failures",
    metadata,
    Column("subscription", KEY, primary_key=True, autoincrement=False),
    time_column("since"),
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
    small_column("transient", None),
    Column("in_flight", Integer, nullable=False),
    time_column("beat_time"),
    postgresql_with=VACUUMED_OFTEN,
)
