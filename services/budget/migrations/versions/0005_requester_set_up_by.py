"""Who set up a requester's account."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column, which is empty for requests that exist."""
    column = sa.Column("requester_set_up_by", sa.ARRAY(sa.Uuid()), server_default="{}", nullable=False)
    op.add_column("expenditures", column)
