"""A password that bootstrap has set, and nobody since, is marked."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Mark the password of the platform's first administrator: until now, none could be changed."""
    op.add_column(
        "users", sa.Column("has_bootstrap_password", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.alter_column("users", "has_bootstrap_password", server_default=None)
    op.execute("select set_config('app.tenant_id', '00000000-0000-0000-0000-000000000001', true)")
    op.execute("update users set has_bootstrap_password = true where id = (select id from users order by id limit 1)")
    op.execute("select set_config('app.tenant_id', '', true)")
