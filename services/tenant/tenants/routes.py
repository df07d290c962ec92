"""Tenants over HTTP, for users of the platform."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from libs.service_kit import power
from libs.service_kit.auth import Principal, of_platform
from libs.service_kit.errors import Unavailable, problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.tenant.tenants import queries, service
from services.tenant.tenants.errors import (
    CannotClose,
    CannotResume,
    CannotSuspend,
    NotExported,
    PlatformOnly,
    TenantCodeTaken,
    TenantIsClosed,
    TenantNotFound,
)
from services.tenant.tenants.models import Tenant
from services.tenant.tenants.schemas import Closing, PlanChange, Suspension, TenantCreate, TenantOut, TenantUpdate

router = NounRouter(prefix="/api/v1/tenants", tags=["tenants"])

Reader = Annotated[Principal, Depends(of_platform("tenants:read", PlatformOnly))]


async def confirm_power(
    request: Request, caller: Annotated[Principal, Depends(of_platform("tenants:write", PlatformOnly))]
) -> Principal:
    """A dependency that yields the caller, who may write today and not only when they got their token."""
    await power.confirm(request, caller, "tenants:write")
    return caller


# Parameters of this type come before the session, so that no transaction is open while auth is asked.
Writer = Annotated[Principal, Depends(confirm_power)]


@router.post(
    "", status_code=201, response_model=TenantOut, responses=problems(PlatformOnly, TenantCodeTaken, Unavailable)
)
async def create_tenant(wanted: TenantCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Create a tenant and begin its provisioning; poll `status` until it is `active` or `closed`."""
    tenant = await service.create(session, actor, wanted)
    location = f"/api/v1/tenants/{tenant.id}"
    return await once.created(TenantOut.of(tenant), location=location, version=tenant.version)


@router.get("", responses=problems(BadCursor, PlatformOnly))
async def list_tenants(_: Reader, session: DatabaseSession, window: PageWindow) -> Page[TenantOut]:
    """All tenants, the newest first."""
    return await page(session, queries.tenants(), Tenant, window, TenantOut.model_validate)


@router.get("/{tenant_id}", response_model=TenantOut, responses=problems(PlatformOnly, TenantNotFound))
async def get_tenant(tenant_id: UUID, _: Reader, session: DatabaseSession, response: Response) -> Tenant:
    """One tenant, with the provisioning step of each service."""
    return with_etag(response, await service.get(session, tenant_id))


@router.patch(
    "/{tenant_id}",
    response_model=TenantOut,
    responses=problems(PlatformOnly, TenantNotFound, TenantIsClosed, Unavailable),
)
async def update_tenant(
    tenant_id: UUID, wanted: TenantUpdate, _: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Tenant:
    """Rename a tenant."""
    return with_etag(response, await service.rename(session, tenant_id, expected, wanted))


@router.post(
    "/{tenant_id}/plan",
    response_model=TenantOut,
    responses=problems(PlatformOnly, TenantNotFound, TenantIsClosed, Unavailable),
)
async def change_plan(
    tenant_id: UUID, wanted: PlanChange, _: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Tenant:
    """Give a tenant another plan, which limits its users and employees; those that it has stay."""
    return with_etag(response, await service.change_plan(session, tenant_id, expected, wanted))


@router.post(
    "/{tenant_id}/suspend",
    response_model=TenantOut,
    responses=problems(PlatformOnly, TenantNotFound, CannotSuspend, Unavailable),
)
async def suspend_tenant(
    tenant_id: UUID, wanted: Suspension, _: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Tenant:
    """Stop a tenant: within seconds its people can neither log in nor use any service. Nothing is lost."""
    return with_etag(response, await service.suspend(session, tenant_id, expected, wanted))


@router.post(
    "/{tenant_id}/resume",
    response_model=TenantOut,
    responses=problems(PlatformOnly, TenantNotFound, CannotResume, Unavailable),
)
async def resume_tenant(
    tenant_id: UUID, _: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Tenant:
    """Let a suspended tenant go on; its people's sessions go on too."""
    return with_etag(response, await service.resume(session, tenant_id, expected))


@router.post(
    "/{tenant_id}/close",
    response_model=TenantOut,
    responses=problems(PlatformOnly, TenantNotFound, CannotClose, NotExported, Unavailable),
)
async def close_tenant(
    tenant_id: UUID, wanted: Closing, _: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> Tenant:
    """Close a suspended tenant for good, once every service has exported it."""
    return with_etag(response, await service.close(session, tenant_id, expected, wanted))
