"""A tenant's administrators over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Principal, of_platform
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce, ReplayFirst
from libs.service_kit.plans import PlanLimitReached
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession, Sessions, get_sessions
from services.auth.passwords import PasswordChecksBusy, WeakPassword
from services.auth.tenants import service
from services.auth.tenants.errors import PlatformOnly, TenantNotFound
from services.auth.tenants.schemas import AdministratorCreate
from services.auth.users import service as users
from services.auth.users.errors import EmailTaken
from services.auth.users.schemas import UserOut

router = NounRouter(prefix="/api/v1/tenants", tags=["tenants"])

PlatformWriter = Annotated[Principal, Depends(of_platform("tenants:write", PlatformOnly))]


async def hash_password(
    tenant_id: UUID,
    wanted: AdministratorCreate,
    _: PlatformWriter,
    __: ReplayFirst,
    sessions: Annotated[Sessions, Depends(get_sessions)],
) -> str:
    """A dependency that yields the hash of the new password, made before the request's transaction begins."""
    return await users.hash_new_password(sessions, tenant_id, wanted.email, wanted.password.get_secret_value())


@router.post(
    "/{tenant_id}/admins",
    status_code=201,
    response_model=UserOut,
    responses=problems(TenantNotFound, PlatformOnly, EmailTaken, PlanLimitReached, WeakPassword, PasswordChecksBusy),
)
async def create_administrator(
    tenant_id: UUID,
    wanted: AdministratorCreate,
    actor: PlatformWriter,
    password_hash: Annotated[str, Depends(hash_password)],
    session: DatabaseSession,
    once: CreateOnce,
) -> Response:
    """Create an administrator of a tenant, who can log in once it is active and create the other users."""
    user = await service.create_administrator(session, actor, tenant_id, wanted.as_user(), password_hash)
    return await once.created(UserOut.of(user), location=f"/api/v1/users/{user.id}", version=user.version)
