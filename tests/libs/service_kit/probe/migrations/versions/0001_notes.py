"""The kit's tables and the notes."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import (
    create_entity,
    create_kit_tables,
    create_tenant_limits,
    create_tenant_standings,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)
    create_entity(
        op,
        "notes",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.UniqueConstraint("tenant_id", "code", name="uq_notes_tenant_id_code", deferrable=True, initially="DEFERRED"),
        sa.CheckConstraint("code <> 'unwanted'", name=op.f("ck_notes_code")),
    )
    create_tenant_standings(op)
    create_tenant_limits(op)
