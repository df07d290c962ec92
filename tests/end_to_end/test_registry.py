"""A stack with troubles emits everything that `libs/telemetry.yml` names; that it emits nothing else is held as it ends."""

import asyncio

from libs.journey import story
from tests.end_to_end import troubles
from tests.fixtures import emitted
from tests.fixtures.waiting import eventually


async def test_everything_that_the_registry_names_is_emitted(own_stack, platform, tenant, other):
    with troubles.misled_replica(own_stack) as replica:
        async with asyncio.TaskGroup() as group:
            group.create_task(troubles.lose_database(own_stack, tenant.admin))
            changing = asyncio.to_thread(troubles.change_everything, platform, tenant)
            await asyncio.gather(changing, asyncio.to_thread(story.interrupt, platform, other))
            group.create_task(troubles.fail_to_open_tenants(own_stack, platform))
            group.create_task(troubles.send_wrong_events(own_stack, tenant))
            group.create_task(troubles.overload(own_stack, tenant, replica))
    missing = emitted.in_this_run()

    def is_complete() -> bool:
        missing.difference_update(own_stack.facts())
        return not missing

    eventually(is_complete, 10, lambda: f"never emitted: {sorted(missing)}")
