"""One-time tokens for a new password."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import enable_tenancy

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table of one-time tokens."""
    op.create_table(
        "password_resets",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_password_resets"),
        sa.UniqueConstraint("tenant_id", "token_hash", name="uq_password_resets_tenant_id_token_hash"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_password_resets_tenant_id_user_id",
            ondelete="CASCADE",
        ),
    )
    enable_tenancy(op, "password_resets")
