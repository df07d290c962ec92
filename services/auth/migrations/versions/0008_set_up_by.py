"""Who created a user."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column, which says nothing about rows that exist."""
    op.add_column("users", sa.Column("set_up_by", sa.Uuid()))
