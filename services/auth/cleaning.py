"""Removes once an hour what this service no longer needs: forgotten guesses, and keys that have signed their last token."""

import asyncio

from libs.service_kit.cleaning import PAUSE_SECONDS
from libs.service_kit.transactions import Sessions, transaction
from services.auth.guesses import service as guesses
from services.auth.keys import service as keys


async def clean(sessions: Sessions) -> None:
    """Clean until cancelled."""
    while True:
        async with transaction(sessions) as session:
            await keys.retire(session)
        await guesses.remove_forgotten(sessions)
        await asyncio.sleep(PAUSE_SECONDS)
