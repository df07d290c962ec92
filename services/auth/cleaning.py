"""Removes once an hour what nobody needs any more: forgotten guesses, expired tokens and sessions, and used-up keys."""

import asyncio
from typing import Any, cast

from sqlalchemy import CursorResult, text

from libs.service_kit.cleaning import PAUSE_SECONDS
from libs.service_kit.database import as_relay
from libs.service_kit.transactions import Sessions, transaction
from services.auth.guesses import service as guesses
from services.auth.keys import service as keys

EXPIRING = ("password_resets", "sessions")
ROWS = 1000
"""The most rows that one transaction removes."""


async def clean(sessions: Sessions) -> None:
    """Clean until cancelled."""
    while True:
        async with transaction(sessions) as session:
            await keys.retire(session)
        await guesses.remove_forgotten(sessions)
        for table in EXPIRING:
            await _remove_expired(sessions, table)
        await asyncio.sleep(PAUSE_SECONDS)


async def _remove_expired(sessions: Sessions, table: str) -> None:
    some = f"select ctid from {table} where expires_at < now() limit :rows"  # noqa: S608
    statement = text(f"delete from {table} where ctid in ({some})")  # noqa: S608
    while True:
        async with transaction(sessions) as session:
            await as_relay(session, "auth")  # the service's own role sees one tenant only
            removed = await session.execute(statement, {"rows": ROWS})
        if cast("CursorResult[Any]", removed).rowcount < ROWS:
            return
