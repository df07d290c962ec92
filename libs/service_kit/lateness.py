"""How late this process's event loop runs what is due, looked at only while somebody has a reason to."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

STEP_SECONDS = 0.05
LATE_SECONDS, IN_A_ROW = 0.2, 3
"""A loop that is so late, so often in a row, has more to do than it can; one long step of it is not enough."""


class Lateness:
    """The lateness of the running loop."""

    def __init__(self) -> None:
        self._watchers = 0
        self._lost = self._due = 0.0
        self._last: deque[float] = deque(maxlen=IN_A_ROW)
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watched(self) -> Generator[Callable[[], float]]:
        """Look at the loop during the block. Yields a function: how many seconds the loop has lost since it began."""
        if not self._watchers:
            self._last.clear()
            self._set_timer()
        self._watchers += 1
        before = self._lost
        try:
            yield lambda: self._lost + self._overdue() - before
        finally:
            self._watchers -= 1
            if not self._watchers and self._timer:
                self._timer.cancel()

    @property
    def is_late(self) -> bool:
        """Whether the loop is late all the time now."""
        return len(self._last) == IN_A_ROW and min(self._last) > LATE_SECONDS

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + STEP_SECONDS
        self._timer = loop.call_at(self._due, self._tick)

    def _overdue(self) -> float:
        return max(0.0, asyncio.get_running_loop().time() - self._due)

    def _tick(self) -> None:
        late = self._overdue()
        self._lost += late
        self._last.append(late)
        self._set_timer()
