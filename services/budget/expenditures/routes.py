"""Expenditures over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from libs.service_kit.auth import Principal, requires
from libs.service_kit.client import ServiceClient
from libs.service_kit.errors import Unavailable, problems
from libs.service_kit.idempotency import CreateOnce, ReplayFirst
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession, Sessions, get_sessions
from services.budget import metrics
from services.budget.expenditures import employees, queries, service
from services.budget.expenditures.employees import Employee
from services.budget.expenditures.errors import (
    AlreadyDecided,
    BudgetExceeded,
    ExpenditureNotFound,
    NotAnEmployee,
    NotIndependent,
    OwnRequest,
    RequesterLeft,
    UnknownAllocation,
)
from services.budget.expenditures.models import Expenditure
from services.budget.expenditures.schemas import ExpenditureCreate, ExpenditureOut, Rejection, Status

router = NounRouter(prefix="/api/v1/expenditures", tags=["expenditures"])
Reader = Annotated[Principal, Depends(requires("budget:read"))]
Requester = Annotated[Principal, Depends(requires("budget:request"))]
# An approver needs `personnel:read` too: personnel is asked for the requester's record with the approver's token.
Approver = Annotated[Principal, Depends(requires("budget:approve", "personnel:read"))]
Rejecter = Annotated[Principal, Depends(requires("budget:approve"))]


def get_personnel(request: Request) -> ServiceClient:
    """The client of the personnel service."""
    return request.state.clients["personnel"]


Personnel = Annotated[ServiceClient, Depends(get_personnel)]


async def require_employee(actor: Requester, _: ReplayFirst, personnel: Personnel) -> Employee:
    """A dependency that yields the caller's own employee record; others are answered 403."""
    with metrics.counting_refusals():
        return await employees.require_own(personnel, actor)


@router.post(
    "",
    status_code=201,
    response_model=ExpenditureOut,
    responses=problems(NotAnEmployee, UnknownAllocation, Unavailable),
)
async def request_expenditure(
    wanted: ExpenditureCreate,
    actor: Requester,
    # Before `session` and `once`, so that no transaction is open while personnel is asked.
    employee: Annotated[Employee, Depends(require_employee)],
    session: DatabaseSession,
    once: CreateOnce,
) -> Response:
    """Request to spend from an allocation; the requester must be employed today."""
    expenditure = await service.request(session, actor, employee, wanted)
    location = f"/api/v1/expenditures/{expenditure.id}"
    return await once.created(ExpenditureOut.of(expenditure), location=location, version=expenditure.version)


@router.get("", responses=problems(BadCursor))
async def list_expenditures(
    actor: Reader,
    session: DatabaseSession,
    window: PageWindow,
    allocation_id: UUID | None = None,
    status: Annotated[Status | None, Query()] = None,
) -> Page[ExpenditureOut]:
    """All expenditures, or those of one allocation or in one status, the newest first."""
    query = queries.expenditures(actor.tenant_id, allocation_id=allocation_id, status=status)
    return await page(session, query, Expenditure, window, ExpenditureOut.model_validate)


@router.get("/{expenditure_id}", response_model=ExpenditureOut, responses=problems(ExpenditureNotFound))
async def get_expenditure(
    expenditure_id: UUID, actor: Reader, session: DatabaseSession, response: Response
) -> Expenditure:
    """One expenditure."""
    return with_etag(response, await service.get(session, actor, expenditure_id))


@router.post(
    "/{expenditure_id}/approve",
    response_model=ExpenditureOut,
    responses=problems(
        NotAnEmployee,
        OwnRequest,
        NotIndependent,
        ExpenditureNotFound,
        AlreadyDecided,
        RequesterLeft,
        BudgetExceeded,
        Unavailable,
    ),
)
async def approve_expenditure(
    expenditure_id: UUID,
    actor: Approver,
    sessions: Annotated[Sessions, Depends(get_sessions)],
    personnel: Personnel,
    expected: IfMatch,
    response: Response,
) -> Expenditure:
    """Approve another employee's request and commit its money."""
    return with_etag(response, await service.approve(sessions, personnel, actor, expenditure_id, expected))


@router.post(
    "/{expenditure_id}/reject",
    response_model=ExpenditureOut,
    responses=problems(ExpenditureNotFound, AlreadyDecided),
)
async def reject_expenditure(
    expenditure_id: UUID,
    wanted: Rejection,
    actor: Rejecter,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Expenditure:
    """Reject a request: it will not be paid."""
    return with_etag(response, await service.reject(session, actor, expenditure_id, expected, wanted))
