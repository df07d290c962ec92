"""The limits of tenants' plans, held by the service that creates what is limited."""

from typing import Literal
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.tenant import TenantPlanChanged
from libs.service_kit.database import execute
from libs.service_kit.errors import Conflict
from libs.service_kit.transactions import lock

# As with the standing of a tenant, a late event must not undo those that followed it.
_KEEP = """insert into tenant_limits (tenant_id, number, users, employees) values ($1, $2, $3, $4)
on conflict (tenant_id) do update set number = excluded.number, users = excluded.users, employees = excluded.employees
where tenant_limits.number < excluded.number"""
_FIND = "select users, employees from tenant_limits where tenant_id = $1"


class PlanLimitReached(Conflict):  # noqa: D101
    detail = "The tenant has as many users or employees as its plan permits."


async def on_plan_changed(session: AsyncSession, event: TenantPlanChanged) -> None:
    """Remember the limits of the tenant's plan. What is above them already stays."""
    await execute(session, _KEEP, event.tenant_id, event.number, event.users, event.employees)


async def make_room(
    session: AsyncSession, tenant_id: UUID, what: Literal["users", "employees"], counted: Select[int]
) -> None:
    """Raise `PlanLimitReached` unless one more may be added in this transaction, which others have to wait for then."""
    limits = await execute(session, _FIND, tenant_id)
    most: int | None = limits[0][what] if limits else None
    if most is None:
        return
    await lock(session, f"{what} of {tenant_id}")
    if (await session.execute(counted)).scalar_one() >= most:
        raise PlanLimitReached(f"The tenant's plan permits {most} {what}.")
