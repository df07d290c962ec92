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

# A thread of its own: those of the pool may all be held by slow endpoints, which is when the metrics are needed.
_limiter = CapacityLimiter(1)


async def metrics_page(request: Request) -> Response:
    """`GET /metrics`: OpenMetrics with exemplars when asked for, the text format otherwise.

    Encoding takes milliseconds, so it belongs on a thread and not on the event loop.
    """
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    page = await to_thread.run_sync(encode, REGISTRY, limiter=_limiter)
    return Response(page, headers={"content-type": kind})


class MetricsRoute(Route):
    """`GET /metrics`. It stands before all other routes, so each request asks it, and it must be quick to say no."""

    def __init__(self) -> None:
        super().__init__("/metrics", metrics_page, include_in_schema=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if scope["path"].endswith(self.path) else (Match.NONE, {})


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
