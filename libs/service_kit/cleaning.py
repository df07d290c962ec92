"""Removes old rows of the kit's own tables."""

import asyncio

from libs.service_kit import availability
from libs.service_kit.database import as_relay, execute
from libs.service_kit.transactions import Sessions

PAUSE_SECONDS = 3600.0
"""An hour, since each round reads whole tables: an index for it would slow down every insert."""
PAGES = 200
"""How much of a table one transaction reads, so that it ends long before its time-out however large the table is."""

# Events are kept for replays, ids of received events to recognise late duplicates, keys to recognise late retries.
OLD = {
    "outbox": "published_at < now() - interval '7 days'",
    "inbox": "received_at < now() - interval '30 days'",
    "idempotency_keys": "created_at < now() - interval '24 hours'",
}
_COUNT = "pg_relation_size('{}') / current_setting('block_size')::int"


async def clean(service: str, sessions: Sessions) -> None:
    """Remove the old rows of all tenants once an hour, until cancelled. A table that fails is tried again after an hour."""
    failures = availability.Failures("old rows could not be removed")
    while True:
        for table, old in OLD.items():
            try:
                await remove(service, sessions, table, old)
            except Exception as error:
                if not availability.note(error):
                    failures.tell(error, work=f"clean {table}")
        await asyncio.sleep(PAUSE_SECONDS)


async def remove(service: str, sessions: Sessions, table: str, old: str) -> None:
    """Remove the rows of a table for which the SQL condition `old` holds, of all tenants, in short transactions."""
    first, pages = 0, 1
    while first < pages:
        async with sessions.begin() as session:
            pages = await as_relay(session, service, _COUNT.format(table))
            part = f"delete from {table} where ctid >= $1 and ctid < $2 and {old}"  # noqa: S608
            await execute(session, part, (first, 0), (first + PAGES, 0))
        first += PAGES
