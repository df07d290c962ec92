"""The limits of tenants' plans."""

from alembic import op

from libs.service_kit.migrations import create_tenant_limits

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the kit's table of limits."""
    create_tenant_limits(op)
