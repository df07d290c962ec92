"""The kit's tables and the notes."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_kit_tables, enable_tenancy

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)
    op.create_table(
        "notes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notes"),
        sa.UniqueConstraint("tenant_id", "code", name="uq_notes_tenant_id_code", deferrable=True, initially="DEFERRED"),
        sa.CheckConstraint("code <> 'unwanted'", name=op.f("ck_notes_code")),
    )
    enable_tenancy(op, "notes")
