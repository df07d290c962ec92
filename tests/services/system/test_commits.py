"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from libs.service_kit.transactions import transaction
from services.system.audit import consumers
from services.system.codes import service as codes
from services.system.codes.schemas import CodeCreate, CodeGroupCreate, CodeGroupUpdate, CodeUpdate
from services.system.tenant_settings import service as settings
from services.system.tenant_settings.schemas import SettingChange
from tests.services.commits import ANY, Act, World, sites


async def run(world: World, rule: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    async with transaction(world.sessions, world.actor.tenant_id, world.actor.id) as session:
        return await rule(session, world.actor, *given)


async def make_group(world: World) -> Any:
    return await run(world, codes.create_group, CodeGroupCreate(code="units", name="Units"))


async def make_code(world: World) -> Any:
    return CodeCreate(code_group_id=(await make_group(world)).id, code="kg", name="Kilogram")


async def prepare(world: World) -> Act:
    return lambda: world.hear_of_tenant(consumers.on_tenant_created)


async def create_group(world: World) -> Act:
    return lambda: make_group(world)


async def rename_group(world: World) -> Act:
    group = await make_group(world)
    return lambda: run(world, codes.rename_group, group.id, ANY, CodeGroupUpdate(name="Other"))


async def create_code(world: World) -> Act:
    wanted = await make_code(world)
    return lambda: run(world, codes.create_code, wanted)


async def update_code(world: World) -> Act:
    code = await run(world, codes.create_code, await make_code(world))
    return lambda: run(world, codes.update_code, code.id, ANY, CodeUpdate(is_active=False))


async def change_setting(world: World) -> Act:
    return lambda: run(world, settings.change, "currency", ANY, SettingChange(value="EUR"))


CASES = {
    "audit.consumers.on_tenant_created TenantPrepared": prepare,
    "codes.service.create_group CodeGroupCreated": create_group,
    "codes.service.rename_group CodeGroupUpdated": rename_group,
    "codes.service.create_code CodeCreated": create_code,
    "codes.service.update_code CodeUpdated": update_code,
    "tenant_settings.service.change SettingChanged": change_setting,
}


@pytest.mark.parametrize("site", sites("system"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, await CASES[site](world))
