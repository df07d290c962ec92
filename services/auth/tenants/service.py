"""The rules of a tenant's life in auth: prepared, active, closed; and of its first administrators."""

from functools import partial
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.observability import get_logger
from libs.service_kit.auth import Principal
from libs.service_kit.events.outbox import publish
from libs.service_kit.transactions import after_commit, bind_tenant
from services.auth.directory import queries as directory
from services.auth.directory.models import ACTIVE, CLOSED, PREPARING, Tenant
from services.auth.roles import service as roles
from services.auth.roles.models import Role
from services.auth.roles.power import acting
from services.auth.sessions import service as user_sessions
from services.auth.tenants.errors import TenantNotFound
from services.auth.users import service as users
from services.auth.users.models import User
from services.auth.users.schemas import UserCreate

log = get_logger(__name__)


async def prepare(session: AsyncSession, tenant_id: UUID, code: str) -> None:
    """Add the tenant to the directory, create its built-in roles, and publish whether that succeeded."""
    row = {"id": tenant_id, "code": code, "status": PREPARING}
    await session.execute(insert(Tenant).values(row).on_conflict_do_nothing())
    tenant = await directory.find(session, tenant_id)
    if tenant is None:  # the insert conflicted with another tenant that has this code
        publish(session, TenantPreparationFailed(tenant_id=tenant_id, service="auth", reason="the code is taken"))
    elif tenant.status == CLOSED:
        log.info("closed tenant is not prepared")
    else:
        await roles.create_builtin(session, tenant_id, roles.TENANT_ROLES)
        publish(session, TenantPrepared(tenant_id=tenant_id, service="auth"))


async def activate(session: AsyncSession, tenant_id: UUID) -> None:
    """Let the tenant's users log in, unless it is closed."""
    tenant = await directory.lock(session, tenant_id)
    if tenant and tenant.status == PREPARING:
        tenant.status = ACTIVE
        after_commit(session, partial(log.info, "tenant activated", tenant_code=tenant.code))


async def close(session: AsyncSession, tenant_id: UUID) -> None:
    """End all sessions and refuse logins. Of a tenant that was never active, only the id remains.

    A tenant that was active keeps its users and its code, since the audit trail refers to users by their ids.
    """
    tenant = await directory.lock(session, tenant_id)
    if tenant is None:
        session.add(Tenant(id=tenant_id, code=None, status=CLOSED))
    elif tenant.status == PREPARING:
        for table in (User, Role):
            await session.execute(delete(table).where(table.tenant_id == tenant_id))
        tenant.code, tenant.status = None, CLOSED
    elif tenant.status == ACTIVE:
        tenant.status = CLOSED
    await session.flush()
    ended = await user_sessions.revoke(session, tenant_id)
    after_commit(session, partial(log.info, "tenant closed", sessions=ended))


async def create_administrator(
    session: AsyncSession, actor: Principal, tenant_id: UUID, wanted: UserCreate, password_hash: str
) -> User:
    """Add an administrator to another tenant. Afterwards the session is bound to the actor's tenant again."""
    await acting(session, actor, "tenants:write")
    makers = await users.line_of(session, actor)
    await bind_tenant(session, tenant_id, actor.id)
    tenant = await directory.lock(session, tenant_id)
    if tenant is None or tenant.status == CLOSED or tenant.id == PLATFORM_TENANT_ID:
        raise TenantNotFound()
    given = await roles.resolve(session, tenant_id, [roles.ADMINISTRATOR])
    user = await users.add(session, tenant_id, wanted, password_hash, given, makers)
    await session.flush()  # writes the event too, while the session is bound to this tenant
    await bind_tenant(session, actor.tenant_id, actor.id)
    return user
