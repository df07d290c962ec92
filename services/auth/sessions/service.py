"""Sessions: begun by a login, kept alive by rotating refresh tokens, ended by rows that are gone.

A refresh token is `<tenant in hex>.<random>`: the tenant says which rows may be looked at. Only its hash is stored.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.transactions import after_commit
from services.auth.metrics import SESSIONS_REVOKED
from services.auth.sessions.models import RefreshToken, UserSession

LIFETIME = timedelta(days=14)
"""How long a session lives without being used."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What came of a refresh token: the next one, or None when it had been used before and its session is over."""

    user_id: UUID
    session_id: UUID
    token: str | None


def tenant_of(token: str) -> UUID | None:
    """The tenant that a refresh token names; None when it is none of ours."""
    try:
        return UUID(hex=token.partition(".")[0])
    except ValueError:
        return None


async def start(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> str:
    """Begin a session: its first refresh token. The user's forgotten sessions are cleared away."""
    await _delete(session, tenant_id, UserSession.user_id == user_id, UserSession.expires_at < datetime.now(UTC))
    begun = UserSession(tenant_id=tenant_id, user_id=user_id, expires_at=datetime.now(UTC) + LIFETIME)
    session.add(begun)
    await session.flush()
    return _give_token(session, begun)


async def rotate(session: AsyncSession, tenant_id: UUID, token: str) -> Rotation | None:
    """Use a refresh token up. None when there is no such token, or its time or its session is over.

    A second use ends the session: the token has two holders, and nobody can know which of them is the thief. There is
    no grace for a client that sends it twice, since a thief would have it too.
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
    """End the session that the token belongs to, used or not; whose it was."""
    found = await _lock(session, tenant_id, token)
    if found is None:
        return None
    await _delete(session, tenant_id, UserSession.id == found[0].id)
    return found[0].user_id


async def revoke(session: AsyncSession, tenant_id: UUID, user_id: UUID | None = None) -> int:
    """End all sessions of the user, or of the whole tenant; how many there were."""
    ended = await _delete(session, tenant_id, *([UserSession.user_id == user_id] if user_id else []))
    _count(session, ended)
    return ended


def _count(session: AsyncSession, ended: int) -> None:
    after_commit(session, lambda: SESSIONS_REVOKED.inc(ended))


def _give_token(session: AsyncSession, owner: UserSession) -> str:
    token = f"{owner.tenant_id.hex}.{secrets.token_urlsafe(32)}"
    session.add(
        RefreshToken(
            tenant_id=owner.tenant_id, token_hash=_hash(token), session_id=owner.id, expires_at=owner.expires_at
        )
    )
    return token


async def _lock(session: AsyncSession, tenant_id: UUID, token: str) -> tuple[UserSession, RefreshToken] | None:
    """The session and the token; the token as it is once the session's other users are done."""
    this = (
        RefreshToken.tenant_id == tenant_id,
        RefreshToken.token_hash == _hash(token),
        RefreshToken.expires_at > datetime.now(UTC),
    )
    its_session = select(RefreshToken.session_id).where(*this).scalar_subquery()
    # The session first and then the token, in every path: the other order would deadlock with the cascade of a delete.
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


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
