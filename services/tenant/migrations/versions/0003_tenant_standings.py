"""Which tenants are stopped, and how often each was."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_tenant_standings

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the kit's table of stopped tenants, and number each tenant's suspensions and resumptions."""
    create_tenant_standings(op)
    op.add_column("tenants", sa.Column("turns", sa.Integer(), server_default="0", nullable=False))
