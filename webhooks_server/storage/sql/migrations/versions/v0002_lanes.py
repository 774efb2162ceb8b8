"""A limit of requests per minute, and what is kept of a receiver that fails."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns to subscriptions; those there are have no limit, and do not fail."""
    columns = (
        sa.Column(
            "max_requests_per_minute", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("failing", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("breaker_time", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    for column in columns:
        op.add_column("subscriptions", column)
