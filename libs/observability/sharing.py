"""What many ask for at a time is made once for all of them, and nobody gets what was begun before they asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

REST_SECONDS = 0.25
"""Between two that are made: what takes 20 milliseconds takes at most a twelfth of the time, however many ask."""

Key = TypeVar("Key")
Made = TypeVar("Made")


class Shared(Generic[Key, Made]):
    """Makes one thing at a time and rests after it. Whoever asks meanwhile gets the next one, or its failure."""

    def __init__(self, make: Callable[[Key], Awaitable[Made]]) -> None:
        self._make = make
        self._next: dict[Key, asyncio.Task[Made]] = {}  # not begun yet
        self._turn = asyncio.Lock()
        self._rested_at = float("-inf")

    async def __call__(self, key: Key) -> Made:
        """The next one that is made for this key."""
        if key not in self._next or self._next[key].done():  # as it is when its loop has ended before its turn
            self._next[key] = asyncio.create_task(self._make_rested(key))
        return await asyncio.shield(self._next[key])  # whoever leaves leaves it to the others

    async def _make_rested(self, key: Key) -> Made:
        loop = asyncio.get_running_loop()
        try:
            async with self._turn:
                await asyncio.sleep(self._rested_at - loop.time())
                del self._next[key]
                return await self._make(key)
        finally:
            self._rested_at = loop.time() + REST_SECONDS
