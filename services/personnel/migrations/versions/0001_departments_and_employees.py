"""Departments, employees and appointments."""

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
        "departments",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid()),
        sa.UniqueConstraint("tenant_id", "code", name="uq_departments_tenant_id_code"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "parent_id"],
            ["departments.tenant_id", "departments.id"],
            name="fk_departments_tenant_id_parent_id",
        ),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_departments_own_parent")),
    )
    op.create_index("ix_departments_parent", "departments", ["tenant_id", "parent_id"])
    create_entity(
        op,
        "employees",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.UniqueConstraint("tenant_id", "number", name="uq_employees_tenant_id_number"),
        sa.UniqueConstraint("tenant_id", "user_id", name="uq_employees_tenant_id_user_id"),
    )
    create_entity(
        op,
        "appointments",
        sa.Column("employee_id", sa.Uuid(), nullable=False),
        sa.Column("department_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date()),
        sa.ForeignKeyConstraint(
            ["tenant_id", "employee_id"],
            ["employees.tenant_id", "employees.id"],
            name="fk_appointments_tenant_id_employee_id",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "department_id"],
            ["departments.tenant_id", "departments.id"],
            name="fk_appointments_tenant_id_department_id",
        ),
        sa.CheckConstraint("ends_on >= starts_on", name=op.f("ck_appointments_order")),
        ExcludeConstraint(
            ("tenant_id", "="),
            ("employee_id", "="),
            (sa.text("daterange(starts_on, ends_on, '[]')"), "&&"),
            name="ex_appointments_overlap",
        ),
    )
    op.create_index("ix_appointments_employee", "appointments", ["tenant_id", "employee_id"])
    op.create_index("ix_appointments_department", "appointments", ["tenant_id", "department_id"])
    for table in ("departments", "employees"):
        op.create_index(f"ix_{table}_newest", table, ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
