"""Reads of roles."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.roles.models import Role


def roles(tenant_id: UUID) -> Select[Role]:
    """All roles of the tenant."""
    return select(Role).where(Role.tenant_id == tenant_id)


async def find(session: AsyncSession, tenant_id: UUID, role_id: UUID) -> Role | None:
    """The role with this id."""
    return await session.scalar(roles(tenant_id).where(Role.id == role_id))


async def named(session: AsyncSession, tenant_id: UUID, names: Sequence[str]) -> Sequence[Role]:
    """The roles with these names; names without a role are ignored."""
    return (await session.scalars(roles(tenant_id).where(Role.name.in_(names)).order_by(Role.name))).all()
