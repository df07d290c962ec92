"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

import pytest

from services.system.audit import consumers
from tests.services.commits import Act, World, sites


def prepare(world: World) -> Act:
    return lambda: world.hear_of_tenant(consumers.on_tenant_created)


CASES = {"audit.consumers.on_tenant_created TenantPrepared": prepare}


@pytest.mark.parametrize("site", sites("system"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, CASES[site](world))
