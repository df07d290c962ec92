"""The inbox tells events apart by their tenant, too."""

from alembic import op

from libs.service_kit.migrations import key_inbox_by_tenant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen the key of the inbox."""
    key_inbox_by_tenant(op)
