"""Removes old rows of the kit's own tables."""

import asyncio

from libs.service_kit.database import as_relay, execute
from libs.service_kit.transactions import Sessions

PAUSE_SECONDS = 3600.0
"""An hour, since each round scans whole tables: an index for it would slow down every insert."""
ROWS = 1000
"""The most rows that one transaction removes."""

# Events are kept for replays, ids of received events to recognise late duplicates, keys to recognise late retries.
STATEMENTS = tuple(
    f"delete from {table} where ctid in"  # noqa: S608
    f" (select ctid from {table} where {column} < now() - interval '{age}' limit $1) returning 1"
    for table, column, age in (
        ("outbox", "published_at", "7 days"),
        ("inbox", "received_at", "30 days"),
        ("idempotency_keys", "created_at", "24 hours"),
    )
)


async def clean(service: str, sessions: Sessions) -> None:
    """Remove the old rows of all tenants once an hour, until cancelled."""
    while True:
        for statement in STATEMENTS:
            while await _remove(service, sessions, statement) == ROWS:
                pass
        await asyncio.sleep(PAUSE_SECONDS)


async def _remove(service: str, sessions: Sessions, statement: str) -> int:
    async with sessions.begin() as session:
        await as_relay(session, service)
        return len(await execute(session, statement, ROWS))
