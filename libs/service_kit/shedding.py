"""While the event loop has more to do than it can, new requests are refused at once: those that have begun are answered."""

from starlette.types import ASGIApp, Receive, Scope, Send

from libs.observability.http import QUIET
from libs.service_kit.errors import problem
from libs.service_kit.lateness import Lateness
from libs.service_kit.shares import shed

FEWEST = 20
"""So many requests are handled however late the loop is: fewer are not the reason."""


class LoadShedding:
    """Answers 503 when the loop is late all the time; health checks and metrics are always answered.

    A request waits for the loop about ten times, so that with `lateness.LATE_SECONDS` it takes two seconds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._lateness = Lateness()
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
                    await self.app(scope, receive, send)
            finally:
                self._running -= 1
