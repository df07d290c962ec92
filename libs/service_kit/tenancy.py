"""The road of a tenant's id from the session to PostgreSQL.

Row-level security reads it from the setting `app.tenant_id`, which lives as long as the transaction; without it every
table is empty. A session's `Commit` holds the id. When the session begins a transaction it hands the id to the driver's
connection (`hand_over`), which sends it with BEGIN, so no query can run before it; the pool takes it away when the
connection comes back. `transactions.bind_tenant` sets another tenant within a transaction (`SWITCH`).
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
    """A connection that sets the tenant in the same round trip as BEGIN, which asyncpg sends before the first statement.

    Should asyncpg one day begin in other words, no tenant is set, and every table is empty.
    """

    tenant_id: UUID | None = None

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if query != "BEGIN;":
            return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
        if self.tenant_id:
            query = f"BEGIN; select set_config('app.tenant_id', '{self.tenant_id}', true)"
        try:
            return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
        except BaseException:
            # The server may have begun a transaction of this tenant, in which the next one would find itself.
            self.terminate()
            raise


def hand_over(connection: Connection, tenant_id: UUID | None) -> None:
    """Let the transaction that is about to begin on this connection belong to the tenant."""
    cast("TenantConnection", connection.connection.driver_connection).tenant_id = tenant_id


def forget_on_return(engine: AsyncEngine) -> None:
    """Take the tenant from every connection that returns to the pool."""
    event.listen(engine.sync_engine, "checkin", _forget)


def _forget(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    if connection is not None:
        cast("Any", connection).driver_connection.tenant_id = None
