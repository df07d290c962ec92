"""Reads and locks of users."""

from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.roles.models import Role
from services.auth.roles.service import ADMINISTRATORS
from services.auth.users.models import User, UserRole


def users(tenant_id: UUID) -> Select[User]:
    """All users of the tenant."""
    return select(User).where(User.tenant_id == tenant_id)


async def find(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> User | None:
    """The user with this id."""
    return await session.scalar(users(tenant_id).where(User.id == user_id))


async def find_by_email(session: AsyncSession, tenant_id: UUID, email: str) -> User | None:
    """The user with this e-mail, which must be in lower case."""
    return await session.scalar(users(tenant_id).where(User.email == email))


def count_active(tenant_id: UUID) -> Select[int]:
    """How many active users the tenant has."""
    return select(func.count()).select_from(User).where(User.tenant_id == tenant_id, User.is_active)


async def lock_active(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> User | None:
    """The user, who cannot be deactivated until the transaction ends; None if they are not active."""
    return await session.scalar(
        users(tenant_id).where(User.id == user_id, User.is_active).with_for_update(key_share=True)
    )


async def count_other_administrators(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> int:
    """How many active administrators there are apart from this user.

    The lock lets one transaction at a time count: two administrators who deactivate each other would both count the
    other.
    """
    roles = select(Role.id).where(Role.tenant_id == tenant_id, Role.is_builtin, Role.name.in_(ADMINISTRATORS))
    locked = (await session.scalars(roles.with_for_update())).all()
    others = (
        select(func.count(func.distinct(User.id)))
        .join(UserRole, (UserRole.tenant_id == User.tenant_id) & (UserRole.user_id == User.id))
        .where(User.tenant_id == tenant_id, User.id != user_id, User.is_active, UserRole.role_id.in_(locked))
    )
    return (await session.execute(others)).scalar_one()
