"""Roles over HTTP."""

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
from services.auth.roles import queries, service
from services.auth.roles.errors import BuiltinRole, CannotGrant, Outranked, RoleNameTaken, RoleNotFound
from services.auth.roles.models import Role
from services.auth.roles.schemas import RoleCreate, RoleOut, RoleUpdate

router = NounRouter(prefix="/api/v1/roles", tags=["roles"])
Reader = Annotated[Principal, Depends(requires("roles:read"))]
Writer = Annotated[Principal, Depends(requires("roles:write"))]


@router.post("", status_code=201, response_model=RoleOut, responses=problems(CannotGrant, RoleNameTaken))
async def create_role(wanted: RoleCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Create a role."""
    role = await service.create(session, actor, wanted)
    return await once.created(RoleOut.of(role), location=f"/api/v1/roles/{role.id}", version=role.version)


@router.get("", responses=problems(BadCursor))
async def list_roles(actor: Reader, session: DatabaseSession, window: PageWindow) -> Page[RoleOut]:
    """All roles, the newest first."""
    return await page(session, queries.roles(actor.tenant_id), Role, window, RoleOut.model_validate)


@router.get("/{role_id}", response_model=RoleOut, responses=problems(RoleNotFound))
async def get_role(role_id: UUID, actor: Reader, session: DatabaseSession, response: Response) -> Role:
    """One role."""
    return with_etag(response, await service.get(session, actor, role_id))


@router.patch(
    "/{role_id}",
    response_model=RoleOut,
    responses=problems(RoleNotFound, CannotGrant, Outranked, BuiltinRole),
)
async def update_role(
    role_id: UUID, wanted: RoleUpdate, actor: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Role:
    """Replace the permissions of a role. Tokens have them when they are renewed, within fifteen minutes."""
    return with_etag(response, await service.update(session, actor, role_id, expected, wanted))
