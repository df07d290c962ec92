"""How the metrics are served: `GET /metrics`, and the same on `METRICS_PORT`."""

import logging

from anyio import CapacityLimiter, to_thread
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from ..settings import TelemetrySettings
from ..sharing import Shared

# A thread of its own: those of the pool may all be held by slow endpoints, which is when the metrics are needed.
_limiter = CapacityLimiter(1)
OPEN_METRICS = "application/openmetrics-text"


class MetricsRoute(Route):
    """`GET /metrics`: OpenMetrics with exemplars when asked for, the text format otherwise.

    It stands before all other routes, so each request asks it, and it must be quick to say no. Encoding takes milliseconds,
    so it belongs on a thread and not on the event loop, and those who ask at a time share a page.
    """

    def __init__(self) -> None:
        super().__init__("/metrics", self._page, include_in_schema=False)
        self._shared: Shared[str, tuple[bytes, str]] = Shared(_encode)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if scope["path"].endswith(self.path) else (Match.NONE, {})

    async def _page(self, request: Request) -> Response:
        # Two formats: what else a client writes, such as a version, would be a page of its own, or take time to read.
        page, kind = await self._shared(OPEN_METRICS if OPEN_METRICS in request.headers.get("accept", "") else "")
        return Response(page, headers={"content-type": kind})


async def _encode(accept: str) -> tuple[bytes, str]:
    encode, kind = choose_encoder(accept)
    return await to_thread.run_sync(encode, REGISTRY, limiter=_limiter), kind


def listen(settings: TelemetrySettings) -> None:
    """Serves the metrics on `METRICS_PORT` as well, from a thread; when the port is taken, warns and goes on."""
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        logging.getLogger(__name__).warning(
            "METRICS_PORT cannot be used",
            extra={"metrics_port": settings.metrics_port, "reason": str(error)},
        )
