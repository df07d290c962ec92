"""The administrators of every tenant may change codes and settings."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Give the built-in role of the tenants that exist what it has in new ones."""
    op.execute("alter table roles no force row level security")  # else not even the owner sees the tenants' rows
    op.execute(
        """
        update roles set version = version + 1, updated_at = now(), permissions = array(
          select unnest(permissions || 'system:write'::text) as permission order by permission)
        where is_builtin and name = 'administrator' and not 'system:write' = any(permissions)
        """
    )
    op.execute("alter table roles force row level security")
