"""All makers of a user, and whether the password is the user's own."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Of users that exist, the nearest maker is known, and not whether they have chosen their password."""
    op.execute("alter table users alter column set_up_by type uuid[] using array_remove(array[set_up_by], null)")
    op.alter_column("users", "set_up_by", new_column_name="makers", server_default=sa.text("'{}'"), nullable=False)
    own = sa.Column("has_own_password", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("users", own)
