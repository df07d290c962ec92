"""The relay's role removes what has expired, of all tenants, and sees nothing else of it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Let the relay's role remove expired one-time tokens and sessions."""
    owner = op.get_bind().execute(sa.text("select current_user")).scalar_one()
    relay = f"{owner.removesuffix('_owner')}_relay"
    for table in ("password_resets", "sessions"):
        op.execute(f"create policy relay_removes_expired on {table} to {relay} using (expires_at < now())")
        op.execute(f"grant select, delete on {table} to {relay}")
