"""Batches requests that have ended: recorded one after the other they cost less than half."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from .forks import in_child

# How long, and how many, requests that have ended wait to be recorded.
PAUSE_SECONDS, MOST_WAITING = 0.05, 96

Item = TypeVar("Item")


class Pending(Generic[Item]):
    """Requests that have ended and are not recorded yet.

    While an app runs, a request is recorded when others have ended too, or after a short pause: in a row the same work
    takes less than half the time that it takes between two runs of the application, whose code and data push ours out
    of the processor's caches. What is recorded is what was known when the request ended.
    """

    def __init__(self, record: Callable[[Sequence[Item]], None]) -> None:
        """`record` must not raise."""
        self._record = record
        self._waiting: deque[Item] = deque()
        self._buffered = False
        self._loop: asyncio.AbstractEventLoop | None = None
        in_child(self._waiting.clear)

    def add(self, item: Item, urgent: bool) -> None:
        """Takes a request that has ended; an urgent one is recorded at once, with all before it."""
        waiting = self._waiting
        waiting.append(item)
        if not self._buffered or urgent or len(waiting) >= MOST_WAITING:
            self.flush()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another framework's loop
            self.flush()
            return
        if len(waiting) == 1:
            self._loop = loop
            loop.call_later(PAUSE_SECONDS, self._flush_since, item, context=Context())
        elif loop is not self._loop:  # which may have ended, and its timer with it
            self.flush()

    def buffer(self) -> None:
        """From now on requests are recorded many at a time: an event loop is about to run."""
        self._buffered = True

    def write_through(self) -> None:
        """Records what waits; from now on each request is recorded before it returns."""
        self._buffered = False
        self.flush()

    def flush(self) -> None:
        """Records all requests that have ended."""
        items: list[Item] = []
        try:
            while True:
                items.append(self._waiting.popleft())
        except IndexError:
            pass
        if items:
            self._record(items)

    def _flush_since(self, first: Item) -> None:
        """Records what has waited since this request ended, unless that has happened."""
        if self._waiting and self._waiting[0] is first:
            self.flush()
