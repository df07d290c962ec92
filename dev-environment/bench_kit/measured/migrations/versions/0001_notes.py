"""The kit's tables, notes of tenants, and the same table without a policy for the endpoint without the kit."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_entity, create_kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    create_kit_tables(op)
    own = (("code", sa.Text()), ("text", sa.Text()), ("amount", sa.Numeric(14, 2)))
    create_entity(
        op,
        "notes",
        *(sa.Column(name, kind, nullable=False) for name, kind in own),
        sa.UniqueConstraint("tenant_id", "code", name="uq_notes_tenant_id_code"),
    )
    op.execute("create table plain_notes (like notes including all)")
