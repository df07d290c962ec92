"""Reads of keys, and their end."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.auth.keys.models import SigningKey


async def now(session: AsyncSession) -> datetime:
    """What time it is in the database."""
    return (await session.execute(select(func.now()))).scalar_one()


async def newest(session: AsyncSession) -> SigningKey | None:
    """The newest key whose time has come."""
    due = select(SigningKey).where(SigningKey.private_key.is_not(None), SigningKey.signs_from <= func.now())
    return await session.scalar(due.order_by(SigningKey.signs_from.desc(), SigningKey.kid).limit(1))


async def waiting(session: AsyncSession) -> SigningKey | None:
    """The key whose time has not come yet."""
    return await session.scalar(select(SigningKey).where(SigningKey.signs_from > func.now()).limit(1))


async def published(session: AsyncSession) -> Sequence[SigningKey]:
    """All keys, the oldest first."""
    return (await session.scalars(select(SigningKey).order_by(SigningKey.signs_from))).all()


async def forget_private_halves(session: AsyncSession) -> None:
    """Remove the private half of every key that another has followed."""
    followed = SigningKey.private_key.is_not(None) & _followed_for(timedelta(0))
    await session.execute(update(SigningKey).where(followed).values(private_key=None))


async def remove_followed(session: AsyncSession, age: timedelta) -> Sequence[str]:
    """Remove the keys that another has followed for this long, and return their ids."""
    return (await session.scalars(delete(SigningKey).where(_followed_for(age)).returning(SigningKey.kid))).all()


def _followed_for(age: timedelta) -> ColumnElement[bool]:
    later = aliased(SigningKey)
    return exists().where(later.signs_from > SigningKey.signs_from, later.signs_from <= func.now() - age)
