"""The rules of power: who gives or takes it has it today, by their own row, and nobody touches what is above them."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.auth import Principal
from libs.service_kit.power import require
from libs.service_kit.transactions import Sessions, lock, transaction
from services.auth.roles import queries
from services.auth.roles.errors import CannotGrant, Outranked

Power = frozenset[str]
"""What somebody may do today."""


async def acting(session: AsyncSession, caller: Principal, needed: str) -> Power:
    """What the caller may do by their row, whatever their token says. Raises `Forbidden` unless that includes `needed`.

    Until the transaction ends, nobody else gives or takes power in the tenant: what has been checked stays true, and
    two people cannot take each other's.
    """
    await lock(session, f"power {caller.tenant_id}")
    power = frozenset(await queries.permissions_of_active_user(session, caller.tenant_id, caller.id))
    require(power, needed)
    return power


async def held(sessions: Sessions, caller: Principal) -> Power:
    """What the caller may do by their row; nothing if they are switched off."""
    async with transaction(sessions, caller.tenant_id) as session:
        return frozenset(await queries.permissions_of_active_user(session, caller.tenant_id, caller.id))


def refuse_outranked(power: Power, permissions: Iterable[str]) -> None:
    """Raise `Outranked` if whoever is to be changed has a permission that the actor lacks."""
    if missing := set(permissions) - power:
        raise Outranked(missing=sorted(missing))


def refuse_grant(power: Power, permissions: Iterable[str]) -> None:
    """Raise `CannotGrant` unless the actor has all these permissions."""
    if missing := set(permissions) - power:
        raise CannotGrant(missing=sorted(missing))
