"""Reads of codes and their groups."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.system.codes.models import CodeGroup, CommonCode


def groups(tenant_id: UUID) -> Select[CodeGroup]:
    """The tenant's code groups."""
    return select(CodeGroup).where(CodeGroup.tenant_id == tenant_id)


def codes(tenant_id: UUID, *, code_group_id: UUID | None = None) -> Select[CommonCode]:
    """The tenant's codes: all, or those of one group."""
    query = select(CommonCode).where(CommonCode.tenant_id == tenant_id)
    return query.where(CommonCode.code_group_id == code_group_id) if code_group_id else query


async def find_group(session: AsyncSession, tenant_id: UUID, code_group_id: UUID) -> CodeGroup | None:
    """The code group with this id."""
    return await session.scalar(groups(tenant_id).where(CodeGroup.id == code_group_id))


async def find_code(session: AsyncSession, tenant_id: UUID, code_id: UUID) -> CommonCode | None:
    """The code with this id."""
    return await session.scalar(codes(tenant_id).where(CommonCode.id == code_id))
