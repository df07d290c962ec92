"""Who created a user."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column, which says nothing about rows that exist."""
    op.add_column("users", sa.Column("set_up_by", sa.Uuid()))
