"""Fair shares of a few places: a tenant holds at most half of them and waits in a line of its own; nobody waits in vain.

The places are the connections of the database pool, or the calls to another service that run at a time. Whoever finds
more waiting before it than can be served in time is refused at once, and so is everybody of a tenant whose line has
stood still for that long.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from prometheus_client import Counter

from libs.service_kit.errors import Unavailable

TENANT: ContextVar[UUID | None] = ContextVar("tenant", default=None)
"""The tenant of the request that the current task serves; all requests that are nobody's are one tenant more."""
OWN_WORK = UUID(int=0)
"""In place of a tenant for what the process does by itself, which no flood of requests may hold up."""
WEIGHT = 0.1
"""Of the newest in the average of how long a place is held."""
SHED = Counter(
    "requests_shed_total", "Requests refused because too many were waiting, by what they waited for", ["queue"]
)


class Overloaded(Unavailable):  # noqa: D101
    detail = "The service has more requests than it can serve in time; Retry-After says when to try again."


def shed(queue: str) -> Overloaded:
    """Count a request that is refused. Returns the refusal."""
    SHED.labels(queue).inc()
    return Overloaded(headers={"Retry-After": "1"})


@dataclass
class _Line:
    """A tenant's line, which exists while the tenant holds a place or waits for one."""

    usual: float
    """How many seconds this tenant holds a place; at first, as long as others do."""
    held: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]])
    moved_at: float = field(default_factory=lambda: time.monotonic())


class Shares:
    """The places of one queue, for which nobody waits longer than `seconds`."""

    def __init__(self, queue: str, places: int, seconds: float) -> None:
        self._queue = queue
        self._places = self._free = places
        self._most = max(1, places // 2)
        self._seconds = seconds
        self._usual = 0.0
        self._lines: dict[UUID | None, _Line] = {}  # in the order of their turns
        SHED.labels(queue)

    def take(self, tenant: UUID | None) -> bool:
        """Take a place, if this tenant need not wait for one."""
        line = self._lines.get(tenant) or _Line(self._usual)
        if not self._free or line.held >= self._most or line.waiting:
            return False
        self._lines[tenant] = line
        self._hand_over(line)
        return True

    async def wait(self, tenant: UUID | None) -> None:
        """Wait in the tenant's line for a place. Raises `Overloaded`, at once if that would take too long."""
        line = self._lines.setdefault(tenant, _Line(self._usual))
        if line.waiting and self._expected(line) > self._seconds:
            raise shed(self._queue)
        place = asyncio.get_running_loop().create_future()
        line.waiting.append(place)
        try:
            async with asyncio.timeout(self._seconds):
                await place
        except BaseException as error:
            if place.cancelled():
                with suppress(ValueError):
                    line.waiting.remove(place)
                self._forget(tenant)
            else:  # it was given the place at the moment when it left
                self.give_back(tenant)
            if isinstance(error, TimeoutError):
                raise shed(self._queue) from None
            raise

    def give_back(self, tenant: UUID | None, seconds: float | None = None) -> None:
        """Give a place to whose turn it is, after it was held for so many seconds, or not used at all."""
        line = self._lines[tenant]
        line.held -= 1
        self._free += 1
        if seconds is not None:
            line.usual += WEIGHT * (seconds - line.usual)
            self._usual += WEIGHT * (seconds - self._usual)
        while self._free and (following := self._next()):
            place = following.waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._hand_over(following)
        self._forget(tenant)

    @asynccontextmanager
    async def place(self, tenant: UUID | None) -> AsyncGenerator[None]:
        """A place for as long as the block takes. Raises as `wait` does."""
        if not self.take(tenant):
            await self.wait(tenant)
        began = time.monotonic()
        try:
            yield
        finally:
            self.give_back(tenant, time.monotonic() - began)

    def _hand_over(self, line: _Line) -> None:
        self._free -= 1
        line.held += 1
        line.moved_at = time.monotonic()

    def _next(self) -> _Line | None:
        """The line whose turn it is; its next turn is after all others."""
        for tenant, line in self._lines.items():
            if line.waiting and line.held < self._most:
                self._lines[tenant] = self._lines.pop(tenant)
                return line
        return None

    def _expected(self, line: _Line) -> float:
        """How many seconds the next in this line would wait, at the least."""
        lines = sum(bool(each.waiting) for each in self._lines.values())
        served_at_a_time = min(self._most, self._places / lines)
        stood = time.monotonic() - line.moved_at
        return max(stood, len(line.waiting) * line.usual / served_at_a_time)

    def _forget(self, tenant: UUID | None) -> None:
        line = self._lines.get(tenant)
        if line and not line.held and not line.waiting:
            del self._lines[tenant]
