"""What retention and auto-disable remember."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make both tables, empty: nothing is being removed, and nobody is known to fail."""
    op.create_table(
        "event_purges",
        sa.Column("event_seq", _KEY, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("event_seq"),
    )
    op.create_table(
        "failures",
        sa.Column("subscription", _KEY, autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("exhausted_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subscription"),
    )
