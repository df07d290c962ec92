"""Removes once an hour what nobody needs any more: forgotten guesses, expired tokens and sessions, and used-up keys."""

import asyncio

from libs.service_kit.cleaning import PAUSE_SECONDS, remove
from libs.service_kit.transactions import Sessions, transaction
from services.auth.guesses import service as guesses
from services.auth.keys import service as keys

EXPIRING = ("password_resets", "sessions")


async def clean(sessions: Sessions) -> None:
    """Clean until cancelled."""
    while True:
        async with transaction(sessions) as session:
            await keys.retire(session)
        await guesses.remove_forgotten(sessions)
        for table in EXPIRING:
            await remove("auth", sessions, table, "expires_at < now()")
        await asyncio.sleep(PAUSE_SECONDS)
