"""Departments over HTTP."""

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
from services.personnel.departments import queries, service
from services.personnel.departments.errors import (
    DepartmentCodeTaken,
    DepartmentCycle,
    DepartmentNotFound,
    UnknownParent,
)
from services.personnel.departments.models import Department
from services.personnel.departments.schemas import DepartmentCreate, DepartmentOut, DepartmentUpdate

router = NounRouter(prefix="/api/v1/departments", tags=["departments"])
Reader = Annotated[Principal, Depends(requires("personnel:read"))]
Writer = Annotated[Principal, Depends(requires("personnel:write"))]


@router.post("", status_code=201, response_model=DepartmentOut, responses=problems(DepartmentCodeTaken, UnknownParent))
async def create_department(
    wanted: DepartmentCreate, actor: Writer, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Create a department, below another one or at the top."""
    department = await service.create(session, actor, wanted)
    location = f"/api/v1/departments/{department.id}"
    return await once.created(DepartmentOut.of(department), location=location, version=department.version)


@router.get("", responses=problems(BadCursor))
async def list_departments(actor: Reader, session: DatabaseSession, window: PageWindow) -> Page[DepartmentOut]:
    """All departments, the newest first."""
    return await page(session, queries.departments(actor.tenant_id), Department, window, DepartmentOut.model_validate)


# With `:uuid`, no other method of `/chart` is mistaken for that of a department with a malformed id.
@router.get("/{department_id:uuid}", response_model=DepartmentOut, responses=problems(DepartmentNotFound))
async def get_department(
    department_id: UUID, actor: Reader, session: DatabaseSession, response: Response
) -> Department:
    """One department."""
    return with_etag(response, await service.get(session, actor, department_id))


@router.patch(
    "/{department_id:uuid}",
    response_model=DepartmentOut,
    responses=problems(DepartmentNotFound, DepartmentCycle, UnknownParent),
)
async def update_department(
    department_id: UUID,
    wanted: DepartmentUpdate,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Department:
    """Rename a department, or move it with everything below it."""
    return with_etag(response, await service.update(session, actor, department_id, expected, wanted))
