"""Fiscal years over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.budget.fiscal_years import queries, service
from services.budget.fiscal_years.errors import FiscalYearNotFound, FiscalYearOverlap
from services.budget.fiscal_years.models import FiscalYear
from services.budget.fiscal_years.schemas import FiscalYearCreate, FiscalYearOut

router = NounRouter(prefix="/api/v1/fiscal-years", tags=["fiscal years"])
Reader = Annotated[Principal, Depends(requires("budget:read"))]
Writer = Annotated[Principal, Depends(requires("budget:write"))]


@router.post("", status_code=201, response_model=FiscalYearOut, responses=problems(FiscalYearOverlap))
async def open_fiscal_year(
    wanted: FiscalYearCreate, actor: Writer, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Open a fiscal year, which must not overlap another."""
    year = await service.open_year(session, actor, wanted)
    location = f"/api/v1/fiscal-years/{year.id}"
    return await once.created(FiscalYearOut.of(year), location=location, version=year.version)


@router.get("", responses=problems(BadCursor))
async def list_fiscal_years(actor: Reader, session: DatabaseSession, window: PageWindow) -> Page[FiscalYearOut]:
    """All fiscal years, the newest first."""
    return await page(session, queries.fiscal_years(actor.tenant_id), FiscalYear, window, FiscalYearOut.model_validate)


@router.get("/{fiscal_year_id}", response_model=FiscalYearOut, responses=problems(FiscalYearNotFound))
async def get_fiscal_year(
    fiscal_year_id: UUID, actor: Reader, session: DatabaseSession, response: Response
) -> FiscalYear:
    """One fiscal year."""
    return with_etag(response, await service.get(session, actor, fiscal_year_id))
