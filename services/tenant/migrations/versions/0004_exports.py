"""Which services have exported a suspended tenant."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Note the export beside each service's step."""
    op.add_column("provisioning_steps", sa.Column("exported_at", sa.DateTime(timezone=True)))
