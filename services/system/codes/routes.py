"""Codes and their groups over HTTP. Everybody in the tenant may read them."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Caller, Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.system.codes import queries, service
from services.system.codes.errors import (
    CodeGroupNotFound,
    CodeGroupTaken,
    CodeNotFound,
    CodeTaken,
    UnknownCodeGroup,
)
from services.system.codes.models import CodeGroup, CommonCode
from services.system.codes.schemas import (
    CodeCreate,
    CodeGroupCreate,
    CodeGroupOut,
    CodeGroupUpdate,
    CodeOut,
    CodeUpdate,
)

groups = NounRouter(prefix="/api/v1/code-groups", tags=["codes"])
codes = NounRouter(prefix="/api/v1/codes", tags=["codes"])
Writer = Annotated[Principal, Depends(requires("system:write"))]


@groups.post("", status_code=201, response_model=CodeGroupOut, responses=problems(CodeGroupTaken))
async def create_code_group(
    wanted: CodeGroupCreate, actor: Writer, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Add a code group."""
    group = await service.create_group(session, actor, wanted)
    return await once.created(CodeGroupOut.of(group), location=f"/api/v1/code-groups/{group.id}", version=group.version)


@groups.get("", responses=problems(BadCursor))
async def list_code_groups(actor: Caller, session: DatabaseSession, window: PageWindow) -> Page[CodeGroupOut]:
    """All code groups, the newest first."""
    return await page(session, queries.groups(actor.tenant_id), CodeGroup, window, CodeGroupOut.model_validate)


@groups.get("/{code_group_id}", response_model=CodeGroupOut, responses=problems(CodeGroupNotFound))
async def get_code_group(code_group_id: UUID, actor: Caller, session: DatabaseSession, response: Response) -> CodeGroup:
    """One code group."""
    return with_etag(response, await service.get_group(session, actor, code_group_id))


@groups.patch("/{code_group_id}", response_model=CodeGroupOut, responses=problems(CodeGroupNotFound))
async def update_code_group(
    code_group_id: UUID,
    wanted: CodeGroupUpdate,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> CodeGroup:
    """Rename a code group."""
    return with_etag(response, await service.rename_group(session, actor, code_group_id, expected, wanted))


@codes.post("", status_code=201, response_model=CodeOut, responses=problems(CodeTaken, UnknownCodeGroup))
async def create_code(wanted: CodeCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Add a code to a group."""
    code = await service.create_code(session, actor, wanted)
    return await once.created(CodeOut.of(code), location=f"/api/v1/codes/{code.id}", version=code.version)


@codes.get("", responses=problems(BadCursor))
async def list_codes(
    actor: Caller, session: DatabaseSession, window: PageWindow, code_group_id: UUID | None = None
) -> Page[CodeOut]:
    """All codes, or those of one group, the newest first."""
    query = queries.codes(actor.tenant_id, code_group_id=code_group_id)
    return await page(session, query, CommonCode, window, CodeOut.model_validate)


@codes.get("/{code_id}", response_model=CodeOut, responses=problems(CodeNotFound))
async def get_code(code_id: UUID, actor: Caller, session: DatabaseSession, response: Response) -> CommonCode:
    """One code."""
    return with_etag(response, await service.get_code(session, actor, code_id))


@codes.patch("/{code_id}", response_model=CodeOut, responses=problems(CodeNotFound))
async def update_code(
    code_id: UUID, wanted: CodeUpdate, actor: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> CommonCode:
    """Rename a code, or let it be offered no more, or again."""
    return with_etag(response, await service.update_code(session, actor, code_id, expected, wanted))
