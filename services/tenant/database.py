"""The tenant service's tables, and how a transaction is bound to another tenant for a while."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from libs.service_kit.entities import COLUMN_TYPES, new_metadata
from libs.service_kit.transactions import bind_tenant, bound_tenant


class Base(DeclarativeBase):
    """The base of this service's models."""

    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


@asynccontextmanager
async def bound_to(session: AsyncSession, tenant_id: UUID) -> AsyncGenerator[None]:
    """Bind the session's transaction to this tenant inside the block, and to the previous tenant after it.

    The rows of this service belong to the platform, and the events about a tenant to that tenant, so that its audit
    trail begins with its own creation. `bind_tenant` flushes before it switches, since row-level security checks a row
    when it is inserted.
    """
    before, actor_id = bound_tenant(session)
    await bind_tenant(session, tenant_id, actor_id)
    yield
    await bind_tenant(session, before, actor_id)
