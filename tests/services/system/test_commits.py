"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

import pytest

from libs.contracts.tenant import TenantCreated
from libs.service_kit.transactions import transaction
from services.system.audit import consumers
from tests.services.commits import Act, World, sites


def prepare(world: World) -> Act:
    async def act() -> None:
        tenant_id = world.actor.tenant_id
        async with transaction(world.sessions, tenant_id) as session:
            await consumers.on_tenant_created(session, TenantCreated(tenant_id=tenant_id, code="a", name="A"))

    return act


CASES = {"audit.consumers.on_tenant_created TenantPrepared": prepare}


@pytest.mark.parametrize("site", sites("system"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, CASES[site](world))
