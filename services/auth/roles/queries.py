"""Reads of roles."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select, text
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


# In SQL, since the models of users know those of roles, and not the other way round.
_OF_USERS = """select distinct unnest(roles.permissions) from users
join user_roles on user_roles.tenant_id = users.tenant_id and user_roles.user_id = users.id
join roles on roles.tenant_id = users.tenant_id and roles.id = user_roles.role_id
where users.tenant_id = :tenant_id and """
_OF_ACTIVE_USER = text(f"{_OF_USERS} users.id = :user_id and users.is_active")
_HOLDERS = "select user_id from user_roles where tenant_id = :tenant_id and role_id = :role_id"
_OF_HOLDERS = text(f"{_OF_USERS} users.id in ({_HOLDERS})")


async def permissions_of_active_user(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> Sequence[str]:
    """Everything that a user may do; nothing if they are switched off."""
    return (await session.scalars(_OF_ACTIVE_USER, {"tenant_id": tenant_id, "user_id": user_id})).all()


async def permissions_of_holders(session: AsyncSession, tenant_id: UUID, role_id: UUID) -> Sequence[str]:
    """Everything that those who have this role may do, by whichever role."""
    return (await session.scalars(_OF_HOLDERS, {"tenant_id": tenant_id, "role_id": role_id})).all()
