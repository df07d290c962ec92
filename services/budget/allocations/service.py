"""The rules of allocations: setting money aside, and changing the amount."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import AllocationChanged, AllocationMade
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.fields import two_decimals
from libs.service_kit.preconditions import Expected
from services.budget.allocations import queries
from services.budget.allocations.errors import AllocationNotFound, BelowCommitted
from services.budget.allocations.models import Allocation
from services.budget.allocations.schemas import AllocationCreate, AllocationUpdate


async def get(session: AsyncSession, actor: Principal, allocation_id: UUID) -> Allocation:
    """The allocation with this id. Raises `AllocationNotFound`."""
    return found(await queries.find(session, actor.tenant_id, allocation_id), AllocationNotFound, allocation_id)


async def lock(session: AsyncSession, actor: Principal, allocation_id: UUID) -> Allocation:
    """The allocation with this id, locked, so that some of it can be committed. Raises `AllocationNotFound`."""
    return found(await queries.lock(session, actor.tenant_id, allocation_id), AllocationNotFound, allocation_id)


async def allocate(session: AsyncSession, actor: Principal, wanted: AllocationCreate) -> Allocation:
    """Set money aside for an account in a fiscal year."""
    allocation = Allocation(tenant_id=actor.tenant_id, **wanted.model_dump())
    session.add(allocation)
    await session.flush()
    publish(
        session,
        AllocationMade(
            allocation_id=allocation.id,
            fiscal_year_id=allocation.fiscal_year_id,
            account_id=allocation.account_id,
            amount=allocation.amount,
        ),
    )
    return allocation


async def change(
    session: AsyncSession, actor: Principal, allocation_id: UUID, expected: Expected, wanted: AllocationUpdate
) -> Allocation:
    """Change the amount. Raises `BelowCommitted` when it is less than what is committed."""
    allocation = await lock(session, actor, allocation_id)
    expected.check(allocation)
    if wanted.amount < allocation.committed:
        committed = two_decimals(allocation.committed)
        raise BelowCommitted(f"{committed} is already committed.", committed=committed)
    if wanted.amount != allocation.amount:
        allocation.amount = wanted.amount
        await session.flush()
        publish(session, AllocationChanged(allocation_id=allocation.id, amount=allocation.amount))
    return allocation
