"""A page of the codes of a group reads its own rows only.

Writes to the table wait while the index is built, and are refused after three seconds. If the table is so large that this
takes longer, create the index by hand first, `concurrently` and with the same name, and see that it is valid (`pg_index.indisvalid`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the index."""
    newest_first = [sa.text("created_at desc"), sa.text("id desc")]
    columns = ["tenant_id", "code_group_id", *newest_first]
    op.create_index("ix_codes_code_group_newest", "codes", columns, if_not_exists=True)
