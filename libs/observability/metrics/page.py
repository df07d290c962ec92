"""How the metrics are served: `GET /metrics`, and the same on `METRICS_PORT`."""

import logging

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from ..settings import TelemetrySettings


def metrics_page(request: Request) -> Response:
    """`GET /metrics`: OpenMetrics with exemplars when asked for, the text format otherwise.

    Not `async`: encoding takes milliseconds, so it belongs on a thread and not on the event loop.
    """
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"content-type": kind})


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
