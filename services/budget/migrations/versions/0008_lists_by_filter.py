"""A page of the allocations of a year, or of the expenditures of an allocation or in a status, reads its own rows only.

Writes to a table wait while its index is built, and are refused after three seconds. For a table that is so large that this
takes longer, create the index by hand first, `concurrently` and with the same name, and see that it is valid (`pg_index.indisvalid`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

FILTERS = (
    ("allocations", "fiscal_year", "fiscal_year_id"),
    ("expenditures", "allocation", "allocation_id"),
    ("expenditures", "status", "status"),
)


def upgrade() -> None:
    """Add the indexes."""
    newest_first = [sa.text("created_at desc"), sa.text("id desc")]
    for table, name, column in FILTERS:
        op.create_index(f"ix_{table}_{name}_newest", table, ["tenant_id", column, *newest_first], if_not_exists=True)
