"""Requests that have begun come before new ones, and while the event loop cannot keep up, new ones are refused at once."""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from libs.observability.http import QUIET
from libs.service_kit.errors import problem
from libs.service_kit.lateness import Lateness
from libs.service_kit.shares import shed

FEWEST = 20
"""So many requests are handled however late the loop is: fewer are not the reason."""


class Turns:
    """Lets one request begin in each turn of the event loop, in the order in which they have come.

    A request that asks the database takes many turns, and one with a forged token takes one: forty that come at a time
    would hold each turn of all others up.
    """

    def __init__(self) -> None:
        self._is_free = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        if self._is_free:
            self._is_free = False
            loop.call_soon(self._next, loop)
        else:
            self._waiting.append(loop.create_future())
            await self._waiting[-1]

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # otherwise it was cancelled
                turn.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._is_free = True


class LoadShedding:
    """Answers 503 when the loop is late all the time; health checks and metrics are always answered.

    A request waits for the loop about ten times, so that with `lateness.LATE_SECONDS` it takes two seconds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._lateness = Lateness()
        self._turns = Turns()
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
        elif self._running >= FEWEST and self._lateness.is_late:
            refusal = shed("event loop")
            await problem(503, refusal.slug(), detail=refusal.detail, headers=refusal.headers)(scope, receive, send)
        else:
            self._running += 1
            try:
                with self._lateness.watched():
                    await self._turns.wait()
                    await self.app(scope, receive, send)
            finally:
                self._running -= 1
