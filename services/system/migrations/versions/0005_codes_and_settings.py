"""Common codes and settings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from libs.service_kit.migrations import create_entity

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables of code groups, codes and settings."""
    create_entity(
        op,
        "code_groups",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.UniqueConstraint("tenant_id", "code", name="uq_code_groups_tenant_id_code"),
    )
    create_entity(
        op,
        "codes",
        sa.Column("code_group_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("tenant_id", "code_group_id", "code", name="uq_codes_tenant_id_code_group_id_code"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "code_group_id"],
            ["code_groups.tenant_id", "code_groups.id"],
            name="fk_codes_tenant_id_code_group_id",
        ),
    )
    create_entity(
        op,
        "tenant_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", JSONB(), nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name="uq_tenant_settings_tenant_id_name"),
    )
    for table in ("code_groups", "codes"):
        op.create_index(f"ix_{table}_newest", table, ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
