"""Attempts that were not charged, by what they decide."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Count them from here on: what was abandoned in a row so far begins anew."""
    for name in ("abandoned_count", "own_count", "internal_count", "doubtful_count"):
        op.add_column(
            "deliveries",
            sa.Column(name, sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        )
