"""Columns that many tables have."""

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, Text, text

# Only a column declared INTEGER is the row's own key in SQLite.
KEY = BigInteger().with_variant(Integer(), "sqlite")
VACUUMED_OFTEN = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_cost_delay": 0,
}
"""How PostgreSQL keeps a table whose rows are all changed soon (reliability.md, S10)."""


def text_column(name: str, default: str | None = "") -> Column[str]:
    """Return a column of texts that are never NULL."""
    return Column(
        name, Text, nullable=False, server_default=None if default is None else text(f"'{default}'")
    )


def small_column(name: str, default: int | None = 0) -> Column[int]:
    """Return a column of small numbers that are never NULL."""
    return Column(
        name,
        SmallInteger,
        nullable=False,
        server_default=None if default is None else text(str(default)),
    )


def time_column(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column of microseconds since the epoch."""
    return Column(name, BigInteger, nullable=nullable)
