"""Fiscal years, accounts, allocations and expenditures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from libs.service_kit.migrations import create_entity, create_kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the service's first tables."""
    create_kit_tables(op)
    op.execute("create extension if not exists btree_gist")  # for equality in an exclusion constraint
    create_entity(
        op,
        "fiscal_years",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.CheckConstraint("ends_on >= starts_on", name=op.f("ck_fiscal_years_order")),
        ExcludeConstraint(
            ("tenant_id", "="),
            (sa.text("daterange(starts_on, ends_on, '[]')"), "&&"),
            name="ex_fiscal_years_overlap",
        ),
    )
    create_entity(
        op,
        "accounts",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.UniqueConstraint("tenant_id", "code", name="uq_accounts_tenant_id_code"),
    )
    create_entity(
        op,
        "allocations",
        sa.Column("fiscal_year_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.Column("committed", sa.Numeric(14, 2), nullable=False),
        sa.UniqueConstraint(
            "tenant_id", "fiscal_year_id", "account_id", name="uq_allocations_tenant_id_fiscal_year_id_account_id"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "fiscal_year_id"],
            ["fiscal_years.tenant_id", "fiscal_years.id"],
            name="fk_allocations_tenant_id_fiscal_year_id",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["accounts.tenant_id", "accounts.id"],
            name="fk_allocations_tenant_id_account_id",
        ),
        sa.CheckConstraint("0 <= committed and committed <= amount", name=op.f("ck_allocations_not_overspent")),
    )
    op.create_index("ix_allocations_account", "allocations", ["tenant_id", "account_id"])
    create_entity(
        op,
        "expenditures",
        sa.Column("allocation_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("employee_id", sa.Uuid(), nullable=False),
        sa.Column("decided_by", sa.Uuid()),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "allocation_id"],
            ["allocations.tenant_id", "allocations.id"],
            name="fk_expenditures_tenant_id_allocation_id",
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_expenditures_positive")),
        sa.CheckConstraint("status in ('requested', 'approved', 'rejected')", name=op.f("ck_expenditures_status")),
    )
    op.create_index("ix_expenditures_allocation", "expenditures", ["tenant_id", "allocation_id"])
    for table in ("fiscal_years", "accounts", "allocations", "expenditures"):
        op.create_index(f"ix_{table}_newest", table, ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
