"""Tenants, users, roles, sessions, keys and service accounts."""

import sqlalchemy as sa
from alembic import op

from libs.service_kit.migrations import create_entity, create_kit_tables, enable_tenancy

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the service's first tables."""
    create_kit_tables(op)
    create_directory()
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    create_entity(
        op,
        "service_accounts",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.UniqueConstraint("tenant_id", "client_id", name="uq_service_accounts_tenant_id_client_id"),
    )
    create_entity(
        op,
        "roles",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("permissions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("is_builtin", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name="uq_roles_tenant_id_name"),
    )
    create_entity(
        op,
        "users",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("tenant_id", "email", name="uq_users_tenant_id_email"),
    )
    for table in ("roles", "users"):
        op.create_index(f"ix_{table}_newest", table, ["tenant_id", sa.text("created_at desc"), sa.text("id desc")])
    create_user_roles()
    create_sessions()


def create_directory() -> None:
    """Create the directory of tenants, which is read before any tenant is known."""
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("code", name="uq_tenants_code"),
        sa.CheckConstraint("status in ('preparing', 'active', 'closed')", name=op.f("ck_tenants_status")),
        sa.CheckConstraint("code is not null or status = 'closed'", name=op.f("ck_tenants_code")),
    )
    op.execute("alter table tenants enable row level security")
    op.execute("alter table tenants force row level security")
    op.execute("create policy tenant_only on tenants using (id = current_tenant())")
    # A login names its tenant by the code, so the row must be found before a tenant can be bound.
    op.execute("create policy anyone_reads on tenants for select using (true)")


def create_user_roles() -> None:
    """Create the table of who has which role."""
    op.create_table(
        "user_roles",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "role_id", name="pk_user_roles"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_user_roles_tenant_id_user_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "role_id"], ["roles.tenant_id", "roles.id"], name="fk_user_roles_tenant_id_role_id"
        ),
    )
    op.create_index("ix_user_roles_role", "user_roles", ["tenant_id", "role_id"])
    enable_tenancy(op, "user_roles")


def create_sessions() -> None:
    """Create the sessions and their refresh tokens."""
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_sessions_tenant_id_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_sessions_tenant_id_user_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_sessions_user", "sessions", ["tenant_id", "user_id"])
    enable_tenancy(op, "sessions")
    op.create_table(
        "refresh_tokens",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
        sa.PrimaryKeyConstraint("tenant_id", "token_hash", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["sessions.tenant_id", "sessions.id"],
            name="fk_refresh_tokens_tenant_id_session_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_refresh_tokens_session", "refresh_tokens", ["tenant_id", "session_id"])
    enable_tenancy(op, "refresh_tokens")
