"""Who linked a requester to the employee, and whether they had chosen their password."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns; of requests that exist, `requester_set_up_by` has the linker too."""
    column = sa.Column("requester_has_own_password", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("expenditures", column)
    op.add_column("expenditures", sa.Column("requester_linked_by", sa.Uuid()))
