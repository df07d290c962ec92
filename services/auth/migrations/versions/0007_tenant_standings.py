"""Which tenants are stopped."""

from alembic import op

from libs.service_kit.migrations import create_tenant_standings

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the kit's table of stopped tenants."""
    create_tenant_standings(op)
