"""The tenant service's tables, and how a transaction speaks for another tenant for a while."""

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
    """Bind the session's transaction to this tenant inside the block, and back again after it.

    The rows of this service belong to the platform, and the events about a tenant to that tenant, so that its audit
    trail begins with its own creation. Changes are written before each switch: row-level security judges a row at the
    moment of its writing.
    """
    before, actor_id = bound_tenant(session)
    await bind_tenant(session, tenant_id, actor_id)
    yield
    await bind_tenant(session, before, actor_id)
