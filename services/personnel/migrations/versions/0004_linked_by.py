"""Who linked an employee to a user."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column, which says nothing about rows that exist."""
    op.add_column("employees", sa.Column("linked_by", sa.Uuid()))
