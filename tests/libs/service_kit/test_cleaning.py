"""Old rows of the kit's own tables are removed, and those that still wait are kept."""

import asyncio

from libs.service_kit import cleaning
from tests.fixtures.waiting import eventually_async


async def test_what_is_old_is_removed_and_what_waits_is_kept(
    sessions,
    superuser,
    tenant_id,
    destination,
    monkeypatch,
):
    monkeypatch.setattr(cleaning, "PAGES", 1)
    monkeypatch.setattr(cleaning, "OLD", {"no_such_table": "true", **cleaning.OLD})  # one that fails keeps no other
    old, new = "now() - interval '31 days'", "now()"
    for at in (*[old] * 150, new):  # more than fits into a page of any table
        await superuser.execute(
            "insert into outbox (event_id, destination, tenant_id, envelope, carrier, created_at, published_at)"
            f" values (uuidv7(), $1, $2, '{{}}', '{{}}', {old}, {at}), (uuidv7(), $1, $2, '{{}}', '{{}}', {old}, null)",
            destination,
            tenant_id,
        )
        await superuser.execute(f"insert into inbox values (uuidv7(), $1, {at})", tenant_id)
        await superuser.execute(
            f"insert into idempotency_keys values ($1, uuidv7()::text, 'x', 201, null, null, {at})", tenant_id
        )
    task = asyncio.create_task(cleaning.clean("probe", sessions))

    async def is_clean() -> bool:
        assert not task.done()
        tables = ("outbox", "inbox", "idempotency_keys")
        left = [await superuser.fetchval(f"select count(*) from {t} where tenant_id = $1", tenant_id) for t in tables]
        return left == [152, 1, 1]

    await eventually_async(is_clean, 5, "old rows are left")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
