"""How late the event loop runs what is due: the one number that shows a loop that something blocks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from .families import EVENT_LOOP_LAG
from .process import show_threads

LAG_PROBE_SECONDS = 0.25


@asynccontextmanager
async def measuring_loop_lag() -> AsyncGenerator[None]:
    """Measures the running event loop as long as the context is open, and shows its threads."""
    show_threads()
    probe = asyncio.create_task(_probe_lag(), name="event-loop-lag")
    try:
        yield
    finally:
        probe.cancel()
        with suppress(asyncio.CancelledError):
            await probe


async def _probe_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))
