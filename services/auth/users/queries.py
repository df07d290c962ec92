"""Reads and locks of users."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.roles.models import Role
from services.auth.roles.service import ADMINISTRATORS
from services.auth.users.models import User


def users(tenant_id: UUID) -> Select[User]:
    """All users of the tenant."""
    return select(User).where(User.tenant_id == tenant_id)


async def find(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> User | None:
    """The user with this id."""
    return await session.scalar(users(tenant_id).where(User.id == user_id))


async def find_by_email(session: AsyncSession, tenant_id: UUID, email: str) -> User | None:
    """The user with this e-mail, which must be in lower case."""
    return await session.scalar(users(tenant_id).where(User.email == email))


async def with_bootstrap_password(session: AsyncSession, tenant_id: UUID) -> Sequence[User]:
    """The users, locked, whose password nobody has chosen since bootstrap set it."""
    theirs = users(tenant_id).where(User.has_bootstrap_password).with_for_update(key_share=True)
    return (await session.scalars(theirs)).all()


def count_active(tenant_id: UUID) -> Select[int]:
    """How many active users the tenant has."""
    return select(func.count()).select_from(User).where(User.tenant_id == tenant_id, User.is_active)


async def lock_active(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> User | None:
    """The user, who cannot be deactivated until the transaction ends; None if they are not active."""
    return await session.scalar(
        users(tenant_id).where(User.id == user_id, User.is_active).with_for_update(key_share=True)
    )


async def has_other_administrator(session: AsyncSession, user: User) -> bool:
    """Whether there is an active administrator apart from this user."""
    others = (
        select(User.id)
        .join(User.roles)
        .where(User.tenant_id == user.tenant_id, User.id != user.id, User.is_active)
        .where(Role.is_builtin, Role.name.in_(ADMINISTRATORS))
    )
    return await session.scalar(others.limit(1)) is not None
