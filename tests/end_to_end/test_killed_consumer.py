"""A process killed between receiving an event and committing its effect neither loses the effect nor doubles it."""

import secrets

from libs.journey import steps
from libs.journey.story import Tenant
from tests.end_to_end.stack import Stack
from tests.fixtures.waiting import eventually_async

SECONDS = 30.0


async def test_a_consumer_killed_before_its_commit_has_the_effect_once(own_stack, tenant):
    blocker = await own_stack.superuser("system")
    async with blocker.transaction():
        await blocker.execute("lock table audit_entries in exclusive mode")
        made = steps.create_department(tenant.admin, f"k-{secrets.token_hex(3)}", "Made while system is stuck")
        await wait_for_lock(own_stack, "system", "audit_entries")
        own_stack.kill("system")
    own_stack.start("system")
    own_stack.wait_until_ready("system")
    await assert_heard_once(own_stack, tenant, made.trace_id)
    await blocker.close()


async def test_an_event_handed_over_again_because_its_sender_was_killed_has_the_effect_once(own_stack, tenant):
    system, personnel = await own_stack.superuser("system"), await own_stack.superuser("personnel")
    async with personnel.transaction():
        async with system.transaction():
            # The event is under way while system is stuck; with the row locked, the sender cannot mark it as sent.
            await system.execute("lock table audit_entries in exclusive mode")
            made = steps.create_department(tenant.admin, f"k-{secrets.token_hex(3)}", "Made while system is stuck")
            await wait_for_lock(own_stack, "system", "audit_entries")
            row = "select event_id from outbox where envelope->'data'->>'department_id' = $1 for update"
            event_id = await personnel.fetchval(row, made.body["id"])
        await wait_for_lock(own_stack, "personnel", "outbox")
        assert await system.fetchval("select count(*) from inbox where event_id = $1", event_id) == 1
        own_stack.kill("personnel")
    assert await personnel.fetchval("select published_at is null from outbox where event_id = $1", event_id)
    own_stack.start("personnel")
    own_stack.wait_until_ready("personnel")
    await assert_heard_once(own_stack, tenant, made.trace_id)
    await personnel.close()
    await system.close()


async def wait_for_lock(stack: Stack, service: str, table: str) -> None:
    """Wait until a statement of this service about this table waits for a lock."""
    waiting = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = $1"
        " and datname = current_database() and query ilike '%' || $2 || '%'"
    )
    # On a connection of its own: within a transaction the view stays as it was when first read.
    watcher = await stack.superuser(service)
    await eventually_async(
        lambda: watcher.fetchval(waiting, f"{service}_app", table), SECONDS, f"{service} waits for no lock on {table}"
    )
    await watcher.close()


async def assert_heard_once(stack: Stack, tenant: Tenant, trace_id: str) -> None:
    """Wait until the event of this trace is marked as sent; it has one entry in the audit trail."""
    steps.wait_for_audit(tenant.admin, [trace_id])
    personnel = await stack.superuser("personnel")
    sent = "select count(*) from outbox where destination = 'system' and envelope->>'subject' = $1 and published_at is not null"
    found = tenant.admin.get("system", "/api/v1/audit-entries", params={"trace_id": trace_id}).body["items"]
    assert [entry["type"] for entry in found] == ["department.created.v1"]
    subject = f"department/{found[0]['entity_id']}"
    await eventually_async(
        lambda: personnel.fetchval(sent, subject), SECONDS, f"no event on {subject} is marked as sent"
    )
    again = tenant.admin.get("system", "/api/v1/audit-entries", params={"trace_id": trace_id}).body["items"]
    assert again == found
    await personnel.close()
