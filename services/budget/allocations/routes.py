"""Allocations over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.budget.allocations import queries, service
from services.budget.allocations.errors import (
    AllocationExists,
    AllocationNotFound,
    BelowCommitted,
    UnknownAccount,
    UnknownFiscalYear,
)
from services.budget.allocations.models import Allocation
from services.budget.allocations.schemas import AllocationCreate, AllocationOut, AllocationUpdate

router = NounRouter(prefix="/api/v1/allocations", tags=["allocations"])
Reader = Annotated[Principal, Depends(requires("budget:read"))]
Writer = Annotated[Principal, Depends(requires("budget:write"))]


@router.post(
    "",
    status_code=201,
    response_model=AllocationOut,
    responses=problems(AllocationExists, UnknownFiscalYear, UnknownAccount),
)
async def make_allocation(
    wanted: AllocationCreate, actor: Writer, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Set money aside for an account in a fiscal year."""
    allocation = await service.allocate(session, actor, wanted)
    location = f"/api/v1/allocations/{allocation.id}"
    return await once.created(AllocationOut.of(allocation), location=location, version=allocation.version)


@router.get("", responses=problems(BadCursor))
async def list_allocations(
    actor: Reader, session: DatabaseSession, window: PageWindow, fiscal_year_id: UUID | None = None
) -> Page[AllocationOut]:
    """All allocations, or those of one fiscal year, the newest first."""
    query = queries.allocations(actor.tenant_id, fiscal_year_id=fiscal_year_id)
    return await page(session, query, Allocation, window, AllocationOut.model_validate)


@router.get("/{allocation_id}", response_model=AllocationOut, responses=problems(AllocationNotFound))
async def get_allocation(
    allocation_id: UUID, actor: Reader, session: DatabaseSession, response: Response
) -> Allocation:
    """One allocation, with what is committed and what is still available."""
    return with_etag(response, await service.get(session, actor, allocation_id))


@router.patch(
    "/{allocation_id}",
    response_model=AllocationOut,
    responses=problems(AllocationNotFound, BelowCommitted),
)
async def change_allocation(
    allocation_id: UUID,
    wanted: AllocationUpdate,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Allocation:
    """Change the amount; it cannot fall below what is committed."""
    return with_etag(response, await service.change(session, actor, allocation_id, expected, wanted))
