"""How a tenant's id gets from the session to PostgreSQL.

Row-level security reads it from the setting `app.tenant_id`, which lasts as long as the transaction; without it every
table is empty. A session's `Commit` holds the id. When the session begins a transaction, it sets the id on the driver's
connection (`hand_over`), which sends it with BEGIN, so that no query can run before it; the pool clears it when the
connection returns. `transactions.bind_tenant` switches to another tenant within a transaction (`SWITCH`).
"""

from typing import Any, cast
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

SWITCH = "select set_config('app.tenant_id', $1, true)"


class TenantConnection(asyncpg.Connection):
    """A connection that sets the tenant in the same round trip as the `BEGIN;` that asyncpg sends.

    If a later asyncpg sends another statement instead, no tenant is set and every table is empty: it fails safe.
    PostgreSQL answers the COMMIT of a transaction in which a statement has failed with ROLLBACK, and with no error. Here
    that is one, or whatever is done after a commit would be done without it.
    """

    tenant_id: UUID | None = None

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if query != "BEGIN;":
            status: str = await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
            if query == "COMMIT;" and status == "ROLLBACK":
                raise asyncpg.InFailedSQLTransactionError("a statement had failed, so nothing was committed")
            return status
        if self.tenant_id:
            query = f"BEGIN; select set_config('app.tenant_id', '{self.tenant_id}', true)"
        try:
            return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
        except BaseException:
            # The server may have begun a transaction for this tenant, which the next user of the connection would inherit.
            self.terminate()
            raise


def hand_over(connection: Connection, tenant_id: UUID | None) -> None:
    """Set the tenant of the transaction that is about to begin on this connection."""
    cast("TenantConnection", connection.connection.driver_connection).tenant_id = tenant_id


def forget_on_return(engine: AsyncEngine) -> None:
    """Clear the tenant of every connection that returns to the pool."""
    event.listen(engine.sync_engine, "checkin", _forget)


def _forget(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    if connection is not None:
        cast("Any", connection).driver_connection.tenant_id = None
