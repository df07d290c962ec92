"""The rules of sessions: a login starts one, rotating refresh tokens keep it alive, and deleting its row ends it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.transactions import after_commit
from services.auth.metrics import SESSIONS_REVOKED
from services.auth.sessions.models import RefreshToken, UserSession
from services.auth.tokens import hash_of, new_token

LIFETIME = timedelta(days=14)
"""How long a session lasts without being used."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of using a refresh token: the next one, or None when it had been used before, which ends the session."""

    user_id: UUID
    session_id: UUID
    token: str | None


async def start(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> str:
    """Start a session and return its first refresh token. The user's expired sessions are deleted."""
    await _delete(session, tenant_id, UserSession.user_id == user_id, UserSession.expires_at < datetime.now(UTC))
    begun = UserSession(tenant_id=tenant_id, user_id=user_id, expires_at=datetime.now(UTC) + LIFETIME)
    session.add(begun)
    await session.flush()
    return _give_token(session, begun)


async def owner_of(session: AsyncSession, tenant_id: UUID, token: str) -> UUID | None:
    """The user whose session a token is of, used or unused."""
    its_session = select(RefreshToken.session_id).where(
        RefreshToken.tenant_id == tenant_id, RefreshToken.token_hash == hash_of(token)
    )
    return await session.scalar(
        select(UserSession.user_id).where(UserSession.tenant_id == tenant_id, UserSession.id.in_(its_session))
    )


async def rotate(session: AsyncSession, tenant_id: UUID, token: str) -> Rotation | None:
    """Exchange a refresh token for the next one. Returns None when the token is unknown or has expired.

    A second use ends the session: the token has two holders, and nobody can know which of them is the thief. A client
    that sends it twice has no grace period, since a thief would have it too.
    """
    found = await _lock(session, tenant_id, token)
    if found is None:
        return None
    owner, presented = found
    if presented.used_at:
        _count(session, await _delete(session, tenant_id, UserSession.id == owner.id))
        return Rotation(owner.user_id, owner.id, None)
    now = datetime.now(UTC)
    await session.execute(
        delete(RefreshToken).where(
            RefreshToken.tenant_id == tenant_id, RefreshToken.session_id == owner.id, RefreshToken.expires_at < now
        )
    )
    presented.used_at = now
    owner.expires_at = now + LIFETIME
    return Rotation(owner.user_id, owner.id, _give_token(session, owner))


async def end(session: AsyncSession, tenant_id: UUID, token: str) -> UUID | None:
    """End the session of a token, used or unused. Returns the id of its user, or None if there is no session."""
    found = await _lock(session, tenant_id, token)
    if found is None:
        return None
    await _delete(session, tenant_id, UserSession.id == found[0].id)
    return found[0].user_id


async def revoke(session: AsyncSession, tenant_id: UUID, user_id: UUID | None = None) -> int:
    """End all sessions of the user, or of the whole tenant. Returns how many there were."""
    ended = await _delete(session, tenant_id, *([UserSession.user_id == user_id] if user_id else []))
    _count(session, ended)
    return ended


def _count(session: AsyncSession, ended: int) -> None:
    after_commit(session, lambda: SESSIONS_REVOKED.inc(ended))


def _give_token(session: AsyncSession, owner: UserSession) -> str:
    token = new_token(owner.tenant_id)
    session.add(
        RefreshToken(
            tenant_id=owner.tenant_id, token_hash=hash_of(token), session_id=owner.id, expires_at=owner.expires_at
        )
    )
    return token


async def _lock(session: AsyncSession, tenant_id: UUID, token: str) -> tuple[UserSession, RefreshToken] | None:
    """Lock the session of a token, then read the token, which a concurrent request may have used meanwhile."""
    this = (
        RefreshToken.tenant_id == tenant_id,
        RefreshToken.token_hash == hash_of(token),
        RefreshToken.expires_at > datetime.now(UTC),
    )
    its_session = select(RefreshToken.session_id).where(*this).scalar_subquery()
    # Always the session first and then the token: the other order would deadlock with a cascading delete.
    owner = await session.scalar(
        select(UserSession).where(UserSession.tenant_id == tenant_id, UserSession.id == its_session).with_for_update()
    )
    presented = await session.scalar(select(RefreshToken).where(*this)) if owner else None
    return (owner, presented) if owner and presented else None


async def _delete(session: AsyncSession, tenant_id: UUID, *which: ColumnElement[bool]) -> int:
    ended = await session.execute(
        delete(UserSession).where(UserSession.tenant_id == tenant_id, *which).returning(UserSession.id)
    )
    return len(ended.all())
