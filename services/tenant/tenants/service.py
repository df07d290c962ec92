"""The rules of a tenant's life: created, prepared by every service and then active, suspended and active again; or closed.

The creation is a saga. `tenant.created.v1` asks every participant to prepare, and each answer is one step; the last one
makes the tenant active. A refusal or the time-out closes it, and `tenant.closed.v1` asks all participants to undo what
they have prepared. The session must be bound to the platform. The row lock serialises concurrent answers.
"""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.plans import PLANS
from libs.contracts.tenant import (
    TenantActivated,
    TenantClosed,
    TenantCreated,
    TenantPlanChanged,
    TenantRenamed,
    TenantResumed,
    TenantSuspended,
)
from libs.observability import get_logger
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from libs.service_kit.transactions import after_commit
from libs.services import PARTICIPANTS
from services.tenant.database import bound_to
from services.tenant.metrics import EXPORTS, PROVISIONING_SECONDS
from services.tenant.tenants import queries
from services.tenant.tenants.errors import (
    CannotClose,
    CannotResume,
    CannotSuspend,
    NotExported,
    TenantCodeTaken,
    TenantIsClosed,
    TenantNotFound,
)
from services.tenant.tenants.models import ProvisioningStep, Tenant
from services.tenant.tenants.schemas import Closing, PlanChange, Suspension, TenantCreate, TenantUpdate

log = get_logger(__name__)

PLATFORM_CODE = "platform"
"""The platform's users log in with this code, but the platform has no row in this service."""


async def create(session: AsyncSession, actor: Principal, wanted: TenantCreate) -> Tenant:
    """Create a tenant and begin its provisioning. Raises `TenantCodeTaken`."""
    if wanted.code == PLATFORM_CODE:
        raise TenantCodeTaken(f"`{PLATFORM_CODE}` is the platform's own code.")
    steps = [ProvisioningStep(service=service) for service in PARTICIPANTS]
    tenant = Tenant(
        tenant_id=actor.tenant_id, code=wanted.code, name=wanted.name, status="provisioning", provisioning=steps
    )
    session.add(tenant)
    await session.flush()
    async with bound_to(session, tenant.id):
        publish(session, TenantCreated(tenant_id=tenant.id, code=tenant.code, name=tenant.name))
    return tenant


async def get(session: AsyncSession, tenant_id: UUID) -> Tenant:
    """The tenant with this id. Raises `TenantNotFound`."""
    return found(await queries.find(session, tenant_id), TenantNotFound, tenant_id)


async def rename(session: AsyncSession, tenant_id: UUID, expected: Expected, wanted: TenantUpdate) -> Tenant:
    """Rename the tenant. Raises `TenantNotFound` and `TenantIsClosed`."""
    tenant = await _lock(session, tenant_id, expected)
    if tenant.status == "closed":
        raise TenantIsClosed()
    if tenant.name != wanted.name:
        tenant.name = wanted.name
        async with bound_to(session, tenant.id):
            publish(session, TenantRenamed(tenant_id=tenant.id, name=tenant.name))
    return tenant


async def change_plan(session: AsyncSession, tenant_id: UUID, expected: Expected, wanted: PlanChange) -> Tenant:
    """Give a tenant another plan. What it has above the new limits stays. Raises `TenantIsClosed`."""
    tenant = await _lock(session, tenant_id, expected)
    if tenant.status == "closed":
        raise TenantIsClosed()
    if tenant.plan != wanted.plan:
        tenant.plan, tenant.plan_changes = wanted.plan, tenant.plan_changes + 1
        users, employees = PLANS[wanted.plan]
        number = tenant.plan_changes
        async with bound_to(session, tenant.id):
            publish(
                session,
                TenantPlanChanged(
                    tenant_id=tenant.id, plan=tenant.plan, users=users, employees=employees, number=number
                ),
            )
    return tenant


async def suspend(session: AsyncSession, tenant_id: UUID, expected: Expected, wanted: Suspension) -> Tenant:
    """Stop an active tenant. Raises `CannotSuspend`."""
    tenant = await _lock(session, tenant_id, expected)
    if tenant.status != "active":
        raise CannotSuspend()
    tenant.status, tenant.reason, tenant.turns = "suspended", wanted.reason, tenant.turns + 1
    for step in tenant.provisioning:
        step.exported_at = None
    async with bound_to(session, tenant.id):
        publish(session, TenantSuspended(tenant_id=tenant.id, reason=wanted.reason, number=tenant.turns))
    return tenant


async def resume(session: AsyncSession, tenant_id: UUID, expected: Expected) -> Tenant:
    """Let a suspended tenant go on. Raises `CannotResume`."""
    tenant = await _lock(session, tenant_id, expected)
    if tenant.status != "suspended":
        raise CannotResume()
    tenant.status, tenant.reason, tenant.turns = "active", None, tenant.turns + 1
    async with bound_to(session, tenant.id):
        publish(session, TenantResumed(tenant_id=tenant.id, number=tenant.turns))
    return tenant


async def record_export(session: AsyncSession, tenant_id: UUID, service: str, number: int) -> None:
    """Count that a service has given its part, and record it if the tenant was stopped by its present suspension all the time."""
    tenant = await queries.lock(session, tenant_id)
    step = next((each for each in tenant.provisioning if each.service == service), None) if tenant else None
    if tenant is None or step is None:
        return
    after_commit(session, EXPORTS.labels(service).inc)
    if tenant.status == "suspended" and number == tenant.turns:
        step.exported_at = datetime.now(UTC)


async def close(session: AsyncSession, tenant_id: UUID, expected: Expected, wanted: Closing) -> Tenant:
    """Close a suspended tenant for good. Raises `CannotClose`, and `NotExported` unless that is wanted."""
    tenant = await _lock(session, tenant_id, expected)
    if tenant.status != "suspended":
        raise CannotClose()
    missing = [step.service for step in tenant.provisioning if step.exported_at is None]
    if missing and not wanted.without_export:
        raise NotExported(f"These services have not exported the tenant since it was suspended: {', '.join(missing)}.")
    tenant.status, tenant.reason = "closed", wanted.reason
    async with bound_to(session, tenant.id):
        publish(session, TenantClosed(tenant_id=tenant.id, reason=wanted.reason, was_active=True))
    return tenant


async def record_answer(session: AsyncSession, tenant_id: UUID, service: str, refusal: str | None) -> None:
    """Record a participant's first answer, and end the provisioning if the answer decides it.

    A further answer of the same service is ignored. An answer after the end of the provisioning is only recorded.
    """
    tenant = await queries.lock(session, tenant_id)
    steps = {step.service: step for step in tenant.provisioning} if tenant else {}
    step = steps.get(service)
    if tenant is None or step is None or step.status != "pending":
        log.info("answer ignored", tenant_id=str(tenant_id), participant=service, known=step is not None)
        return
    step.status, step.reason, step.at = "failed" if refusal else "prepared", refusal, datetime.now(UTC)
    if tenant.status != "provisioning":
        facts = {"tenant_id": str(tenant_id), "participant": service, "status": tenant.status}
        after_commit(session, partial(log.info, "answer came late", **facts))
    elif refusal:
        await _close(session, tenant, f"{service} could not prepare: {refusal}")
    elif all(step.status == "prepared" for step in steps.values()):
        await _activate(session, tenant)


async def give_up(session: AsyncSession, tenant: Tenant) -> None:
    """Close a locked tenant because a participant has not answered in time."""
    silent = [step.service for step in tenant.provisioning if step.status == "pending"]
    await _close(session, tenant, f"no answer in time from {', '.join(silent)}")


async def _lock(session: AsyncSession, tenant_id: UUID, expected: Expected) -> Tenant:
    tenant = found(await queries.lock(session, tenant_id), TenantNotFound, tenant_id)
    expected.check(tenant)
    return tenant


async def _activate(session: AsyncSession, tenant: Tenant) -> None:
    tenant.status = "active"
    async with bound_to(session, tenant.id):
        publish(session, TenantActivated(tenant_id=tenant.id))
    _end(session, tenant)


async def _close(session: AsyncSession, tenant: Tenant, reason: str) -> None:
    tenant.status, tenant.reason = "closed", reason
    async with bound_to(session, tenant.id):
        publish(session, TenantClosed(tenant_id=tenant.id, reason=reason))
    _end(session, tenant)


def _end(session: AsyncSession, tenant: Tenant) -> None:
    seconds = (datetime.now(UTC) - tenant.created_at).total_seconds()
    after_commit(session, lambda: PROVISIONING_SECONDS.observe(seconds))
