"""The rule of transfers: money moves between two allocations of one year, and only money that is not committed."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import AllocationChanged, TransferMade
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.fields import MOST_MONEY, two_decimals
from services.budget.allocations import queries as allocations
from services.budget.allocations.models import Allocation
from services.budget.transfers import queries
from services.budget.transfers.errors import (
    AllocationTooLarge,
    DifferentFiscalYears,
    TransferExceedsAvailable,
    TransferNotFound,
    UnknownTransferAllocation,
)
from services.budget.transfers.models import Transfer
from services.budget.transfers.schemas import TransferCreate


async def get(session: AsyncSession, actor: Principal, transfer_id: UUID) -> Transfer:
    """The transfer with this id. Raises `TransferNotFound`."""
    return found(await queries.find(session, actor.tenant_id, transfer_id), TransferNotFound, transfer_id)


async def transfer(session: AsyncSession, actor: Principal, wanted: TransferCreate) -> Transfer:
    """Move money from one allocation to another."""
    giving, taking = await _lock_both(session, actor, wanted.from_allocation_id, wanted.to_allocation_id)
    if giving.fiscal_year_id != taking.fiscal_year_id:
        raise DifferentFiscalYears()
    if wanted.amount > giving.available:
        available = two_decimals(giving.available)
        raise TransferExceedsAvailable(f"Only {available} is left in the allocation.", available=available)
    if taking.amount + wanted.amount > MOST_MONEY:
        raise AllocationTooLarge()
    made = Transfer(tenant_id=actor.tenant_id, made_by=actor.id, **wanted.model_dump())
    session.add(made)
    giving.amount -= made.amount
    taking.amount += made.amount
    await session.flush()
    publish(session, TransferMade(transfer_id=made.id, **wanted.model_dump()))
    for changed in (giving, taking):
        publish(session, AllocationChanged(allocation_id=changed.id, amount=changed.amount))
    return made


async def _lock_both(session: AsyncSession, actor: Principal, *ids: UUID) -> list[Allocation]:
    """Lock the allocations, always the one with the lower id first: two transfers cannot wait for each other.

    Nor can a transfer and an approval, which locks one allocation only, and nothing after it.
    """
    locked = {each: await allocations.lock(session, actor.tenant_id, each) for each in sorted(ids)}
    known = [allocation for each in ids if (allocation := locked[each])]
    if len(known) < len(ids):
        raise UnknownTransferAllocation()
    return known
