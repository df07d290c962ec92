"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.transactions import transaction
from libs.services import PARTICIPANTS
from services.tenant.tenants import service
from services.tenant.tenants.models import Tenant
from services.tenant.tenants.schemas import Closing, PlanChange, Suspension, TenantCreate, TenantUpdate
from tests.services.commits import ANY, Act, World, sites


async def run(world: World, rule: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    async with transaction(world.sessions, PLATFORM_TENANT_ID, world.actor.id) as session:
        return await rule(session, *given)


async def make(world: World) -> Tenant:
    actor = replace(world.actor, tenant_id=PLATFORM_TENANT_ID)
    return await run(world, service.create, actor, TenantCreate(code=f"t-{uuid4().hex[:12]}", name="A"))


async def create(world: World) -> Act:
    return lambda: make(world)


async def rename(world: World) -> Act:
    tenant = await make(world)
    return lambda: run(world, service.rename, tenant.id, ANY, TenantUpdate(name="Other"))


async def activate(world: World) -> Act:
    tenant = await make(world)
    *others, last = PARTICIPANTS
    for each in others:
        await run(world, service.record_answer, tenant.id, each, None)
    return lambda: run(world, service.record_answer, tenant.id, last, None)


async def make_active(world: World) -> Tenant:
    tenant = await make(world)
    for each in PARTICIPANTS:
        await run(world, service.record_answer, tenant.id, each, None)
    return tenant


async def change_plan(world: World) -> Act:
    tenant = await make(world)
    return lambda: run(world, service.change_plan, tenant.id, ANY, PlanChange(plan="small"))


async def suspend(world: World) -> Act:
    tenant = await make_active(world)
    return lambda: run(world, service.suspend, tenant.id, ANY, Suspension(reason="Unpaid"))


async def resume(world: World) -> Act:
    tenant = await make_active(world)
    await run(world, service.suspend, tenant.id, ANY, Suspension(reason="Unpaid"))
    return lambda: run(world, service.resume, tenant.id, ANY)


async def close_for_good(world: World) -> Act:
    tenant = await make_active(world)
    await run(world, service.suspend, tenant.id, ANY, Suspension(reason="Unpaid"))
    return lambda: run(world, service.close, tenant.id, ANY, Closing(reason="Unpaid", without_export=True))


async def close(world: World) -> Act:
    tenant = await make(world)
    return lambda: run(world, service.record_answer, tenant.id, "auth", "the code is taken")


CASES = {
    "tenants.service.create TenantCreated": create,
    "tenants.service.rename TenantRenamed": rename,
    "tenants.service._activate TenantActivated": activate,
    "tenants.service.change_plan TenantPlanChanged": change_plan,
    "tenants.service.suspend TenantSuspended": suspend,
    "tenants.service.resume TenantResumed": resume,
    "tenants.service.close TenantClosed": close_for_good,
    "tenants.service._close TenantClosed": close,
}


@pytest.mark.parametrize("site", sites("tenant"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, await CASES[site](world))
