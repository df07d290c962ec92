"""Tenants and the steps of their provisioning."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_kit_tables, enable_tenancy

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the service's first tables."""
    create_kit_tables(op)
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_tenants_tenant_id_id"),
        sa.UniqueConstraint("tenant_id", "code", name="uq_tenants_tenant_id_code"),
        sa.CheckConstraint(
            "status in ('provisioning', 'active', 'suspended', 'closed')", name=op.f("ck_tenants_status")
        ),
    )
    op.create_index("ix_tenants_newest", "tenants", ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
    op.create_index(
        "ix_tenants_provisioning",
        "tenants",
        ["tenant_id", "created_at"],
        postgresql_where=sa.text("status = 'provisioning'"),
    )
    op.create_table(
        "provisioning_steps",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("provisioned_id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("tenant_id", "provisioned_id", "service", name="pk_provisioning_steps"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "provisioned_id"],
            ["tenants.tenant_id", "tenants.id"],
            name="fk_provisioning_steps_tenant_id_provisioned_id",
        ),
        sa.CheckConstraint("status in ('pending', 'prepared', 'failed')", name=op.f("ck_provisioning_steps_status")),
    )
    enable_tenancy(op, "tenants")
    enable_tenancy(op, "provisioning_steps")
