"""The rules of expenditures: requesting, approving and rejecting them."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import ExpenditureApproved, ExpenditureRejected, ExpenditureRequested
from libs.service_kit.auth import MOST_MAKERS, Principal
from libs.service_kit.client import ServiceClient
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.fields import two_decimals
from libs.service_kit.preconditions import Expected
from libs.service_kit.transactions import Sessions, transaction
from services.budget import metrics
from services.budget.allocations import service as allocations
from services.budget.expenditures import employees, queries
from services.budget.expenditures.employees import Employee
from services.budget.expenditures.errors import (
    AlreadyDecided,
    BudgetExceeded,
    ExpenditureNotFound,
    NotIndependent,
    OwnRequest,
    RequesterLeft,
)
from services.budget.expenditures.models import Expenditure
from services.budget.expenditures.schemas import ExpenditureCreate, Rejection


async def get(session: AsyncSession, actor: Principal, expenditure_id: UUID) -> Expenditure:
    """The expenditure with this id. Raises `ExpenditureNotFound`."""
    return found(await queries.find(session, actor.tenant_id, expenditure_id), ExpenditureNotFound, expenditure_id)


async def request(
    session: AsyncSession, actor: Principal, employee: Employee, wanted: ExpenditureCreate
) -> Expenditure:
    """Request to spend from an allocation. The amount may exceed what is left, since only the approval decides."""
    expenditure = Expenditure(
        tenant_id=actor.tenant_id,
        requester_id=actor.id,
        employee_id=employee.id,
        requester_set_up_by=list(actor.makers),
        requester_linked_by=employee.linked_by,
        requester_has_own_password=actor.has_own_password,
        **wanted.model_dump(),
    )
    session.add(expenditure)
    await session.flush()
    publish(
        session,
        ExpenditureRequested(
            expenditure_id=expenditure.id,
            allocation_id=expenditure.allocation_id,
            amount=expenditure.amount,
            employee_id=expenditure.employee_id,
        ),
    )
    return expenditure


async def approve(
    sessions: Sessions, personnel: ServiceClient, actor: Principal, expenditure_id: UUID, expected: Expected
) -> Expenditure:
    """Commit the money of a request, if both people are employed and the allocation has enough left.

    There are two transactions, with the calls to personnel between them: while a slow answer is awaited, neither the lock
    that other approvals need nor a connection of the pool is held. So the second transaction reads the row again.
    """
    async with transaction(sessions, actor.tenant_id, actor.id) as session:
        asked = await get(session, actor, expenditure_id)
    with metrics.counting_refusals():
        await _check_people(personnel, actor, asked)
        async with transaction(sessions, actor.tenant_id, actor.id) as session:
            return await _commit(session, actor, expenditure_id, expected)


async def reject(
    session: AsyncSession, actor: Principal, expenditure_id: UUID, expected: Expected, wanted: Rejection
) -> Expenditure:
    """Reject a request: it will not be paid."""
    expenditure = await _lock_undecided(session, actor, expenditure_id, expected)
    _decide(expenditure, actor, "rejected")
    expenditure.reason = wanted.reason
    await session.flush()
    publish(
        session,
        ExpenditureRejected(
            expenditure_id=expenditure.id, allocation_id=expenditure.allocation_id, reason=wanted.reason
        ),
    )
    return expenditure


async def _check_people(personnel: ServiceClient, actor: Principal, asked: Expenditure) -> None:
    approver = await employees.require_own(personnel, actor)
    # Compare the employee too: the same person may have had another user.
    if asked.requester_id == actor.id or asked.employee_id == approver.id:
        raise OwnRequest()
    _check_makers(asked, actor, approver)
    requester = await employees.find(personnel, actor, asked.employee_id)
    if requester is None or not requester.is_employed:
        raise RequesterLeft()


def _check_makers(asked: Expenditure, actor: Principal, approver: Employee) -> None:
    """Raise `NotIndependent` if a maker can be both people: one of them, or whoever knows the password of either."""
    theirs, own = asked.requester_set_up_by, actor.makers
    set_each_other_up = actor.id in (*theirs, asked.requester_linked_by) or asked.requester_id in (
        *own,
        approver.linked_by,
    )
    has_unknown_makers = max(len(theirs), len(own)) >= MOST_MAKERS
    share_a_maker = not set(theirs).isdisjoint(own)
    passwords_are_own = asked.requester_has_own_password and actor.has_own_password
    if set_each_other_up or has_unknown_makers or (share_a_maker and not passwords_are_own):
        raise NotIndependent()


async def _commit(session: AsyncSession, actor: Principal, expenditure_id: UUID, expected: Expected) -> Expenditure:
    expenditure = await _lock_undecided(session, actor, expenditure_id, expected)
    allocation = await allocations.lock(session, actor, expenditure.allocation_id)
    if expenditure.amount > allocation.available:
        available = two_decimals(allocation.available)
        raise BudgetExceeded(f"Only {available} is left in the allocation.", available=available)
    allocation.committed += expenditure.amount
    _decide(expenditure, actor, "approved")
    await session.flush()
    publish(
        session,
        ExpenditureApproved(
            expenditure_id=expenditure.id,
            allocation_id=allocation.id,
            amount=expenditure.amount,
            employee_id=expenditure.employee_id,
        ),
    )
    return expenditure


async def _lock_undecided(
    session: AsyncSession, actor: Principal, expenditure_id: UUID, expected: Expected
) -> Expenditure:
    expenditure = found(
        await queries.lock(session, actor.tenant_id, expenditure_id), ExpenditureNotFound, expenditure_id
    )
    if expenditure.status != "requested":
        raise AlreadyDecided(f"The expenditure is already {expenditure.status}.")
    expected.check(expenditure)
    return expenditure


def _decide(expenditure: Expenditure, actor: Principal, status: str) -> None:
    expenditure.status, expenditure.decided_by, expenditure.decided_at = status, actor.id, datetime.now(UTC)
