"""Transfers between allocations."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_entity

revision = "0003"
down_revision = "0002"

ENDS = ("from_allocation", "to_allocation")


def upgrade() -> None:
    """Create the table of transfers."""
    create_entity(
        op,
        "transfers",
        *(sa.Column(f"{end}_id", sa.Uuid(), nullable=False) for end in ENDS),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", f"{end}_id"],
                ["allocations.tenant_id", "allocations.id"],
                name=f"fk_transfers_tenant_id_{end}_id",
            )
            for end in ENDS
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_positive")),
        sa.CheckConstraint("from_allocation_id <> to_allocation_id", name=op.f("ck_transfers_two_allocations")),
    )
    for end in ENDS:
        op.create_index(f"ix_transfers_{end}", "transfers", ["tenant_id", f"{end}_id"])
    op.create_index("ix_transfers_newest", "transfers", ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
