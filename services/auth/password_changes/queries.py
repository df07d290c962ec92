"""Reads of one-time tokens, and their use."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.password_changes.models import PasswordReset
from services.auth.tokens import hash_of
from services.auth.users.models import User


def _valid(tenant_id: UUID, token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        PasswordReset.tenant_id == tenant_id,
        PasswordReset.token_hash == hash_of(token),
        PasswordReset.expires_at > datetime.now(UTC),
    )


async def owner(session: AsyncSession, tenant_id: UUID, token: str) -> User | None:
    """The active user whom a token is for, unless it has expired."""
    theirs = select(PasswordReset.user_id).where(*_valid(tenant_id, token))
    return await session.scalar(select(User).where(User.tenant_id == tenant_id, User.id.in_(theirs), User.is_active))


async def take(session: AsyncSession, user: User, token: str) -> bool:
    """Remove a token of a locked user. Returns whether it was valid, which it is once."""
    this = delete(PasswordReset).where(*_valid(user.tenant_id, token), PasswordReset.user_id == user.id)
    return await session.scalar(this.returning(PasswordReset.user_id)) is not None


async def store(session: AsyncSession, user: User, token: str, expires_at: datetime) -> None:
    """Store the token, in the place of one that the user may have."""
    row = {"token_hash": hash_of(token), "expires_at": expires_at}
    added = insert(PasswordReset).values(tenant_id=user.tenant_id, user_id=user.id, **row)
    await session.execute(added.on_conflict_do_update(index_elements=["tenant_id", "user_id"], set_=row))


async def remove(session: AsyncSession, user: User) -> None:
    """Remove the token that the user has, if any."""
    await session.execute(
        delete(PasswordReset).where(PasswordReset.tenant_id == user.tenant_id, PasswordReset.user_id == user.id)
    )
