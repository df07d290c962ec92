"""The limits of tenants' plans."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_tenant_limits

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the kit's table of limits."""
    create_tenant_limits(op)
    op.add_column("tenants", sa.Column("plan", sa.Text(), server_default="unlimited", nullable=False))
    op.add_column("tenants", sa.Column("plan_changes", sa.Integer(), server_default="0", nullable=False))
