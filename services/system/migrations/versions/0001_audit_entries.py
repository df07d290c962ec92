"""The audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from libs.service_kit.migrations import create_kit_tables, enable_tenancy

revision = "0001"
down_revision = None

FILTERS = ("type", "actor_id", "entity_type", "entity_id", "trace_id")


def upgrade() -> None:
    """Create the service's first table."""
    create_kit_tables(op)
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("trace_id", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("data", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_audit_entries"),
        sa.UniqueConstraint("tenant_id", "position", name="uq_audit_entries_tenant_id_position"),
    )
    for column in FILTERS:
        op.create_index(
            f"ix_audit_entries_tenant_id_{column}_position", "audit_entries", ["tenant_id", column, "position"]
        )
    op.create_index("ix_audit_entries_tenant_id_occurred_at", "audit_entries", ["tenant_id", "occurred_at"])
    enable_tenancy(op, "audit_entries")
    # What has been recorded stays as it is, also for a service that has been broken into.
    op.execute("revoke update, delete on audit_entries from system_app")
