"""What one request leaves: a span, two metrics and a line, under the same route template, many requests at a time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode

from .context import ids, ids_of
from .errors import describe, record_error
from .logs.handler import write
from .logs.lines import Line
from .logs.logger import get_logger
from .metrics.families import HTTP
from .metrics.http import HttpMetrics, Series
from .redaction import redact_text
from .requests import Pending, Request
from .routes import UNMATCHED, route_template
from .traces.spans import Shared, identity_of, set_shared

CONTEXT = "http"
log = get_logger(CONTEXT)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
OTHER = "_OTHER"
LONGEST_AGENT, LONGEST_PATH = 256, 4096

Ended = tuple[Request, dict[str, object]]
"""A request that has ended, and what was bound to it then."""


@dataclass(slots=True)
class Kind:
    """What requests of the same kind have in common."""

    span_name: str
    attributes: Shared
    series: Series


class Recorder:
    """Records the requests of one app, as soon as `Pending` has a batch of them."""

    def __init__(self, metrics: HttpMetrics = HTTP) -> None:
        self._metrics = metrics
        self._pending: Pending[Ended] = Pending(self._record_all)
        self.buffer, self.write_through, self.flush = (
            self._pending.buffer,
            self._pending.write_through,
            self._pending.flush,
        )
        # A client can fill this by its user agents, a few megabytes; then each request pays for its own.
        self._kind = lru_cache(maxsize=4096)(self._describe)

    def add(self, request: Request) -> None:
        """Takes a request that has ended. One that failed is recorded at once."""
        self._pending.add((request, request.fields.copy()), urgent=request.error is not None)

    def _record_all(self, ended: Sequence[Ended]) -> None:
        lines: list[Line] = []
        for request, bound in ended:
            try:
                lines.append(self._record(request, bound))
            except Exception as error:
                _report(error, request.span)
        try:
            write(lines)
        except Exception as error:
            _report(error)

    def _record(self, request: Request, bound: dict[str, object]) -> Line:
        """Ends the span, counts the request and returns its line."""
        scope, span, seconds = request.scope, request.span, request.seconds
        ended_at = request.started_at + int(seconds * 1e9)
        status = request.status or 500
        method = request.method if request.method in METHODS else OTHER
        route = route_template(scope, request.app, request.root_path, request.status)
        # Where the template has no variable part, the path cannot hold anything of a client's.
        path = request.path if route == request.path else redact_text(request.path)[:LONGEST_PATH]
        client, _ = scope.get("client") or (None, None)
        host, port = scope.get("server") or (None, None)
        scheme, version = scope.get("scheme", "http"), scope.get("http_version", "1.1")
        agent = request.headers.get(b"user-agent", b"")[:LONGEST_AGENT]
        kind = self._kind(method, route, status, scheme, version, host, port, client, agent)
        error = describe(request.error) if request.error else None
        if span.is_recording():
            set_shared(span, kind.attributes, {"url.path": path})
            span.update_name(kind.span_name)
            if error is not None:
                record_error(span, error)
            elif status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(ended_at)
        trace_id, span_id, is_sampled = identity_of(span)
        self._metrics.observe(kind.series, seconds, ended_at / 1e9, trace_id if is_sampled else None)
        fields = {
            "http": {"method": method, "route": route, "path": path, "status_code": status, "client_ip": client},
            "duration_ms": int(seconds * 1_000_000 + 0.5) / 1000,
            **({"error": error} if error else {}),
            **ids(trace_id, span_id),
            **bound,
        }
        level = logging.ERROR if error else logging.WARNING if status >= 500 else logging.INFO
        return Line(ended_at / 1e9, level, "request handled", CONTEXT, fields, True)

    def _describe(
        self,
        method: str,
        route: str,
        status: int,
        scheme: str,
        version: str,
        host: str | None,
        port: int | None,
        client: str | None,
        agent: bytes,
    ) -> Kind:
        """By the semantic conventions of HTTP servers, all but the path."""
        attributes = {
            "http.request.method": method,
            "http.response.status_code": status,
            "http.route": route if route != UNMATCHED else None,
            "url.scheme": scheme,
            "network.protocol.version": version,
            "client.address": client,
            "server.address": host,
            "server.port": port,
            "user_agent.original": redact_text(agent.decode("latin-1")) or None,
            "error.type": str(status) if status >= 500 else None,
        }
        verb = "HTTP" if method is OTHER else method
        return Kind(
            verb if route == UNMATCHED else f"{verb} {route}",
            Shared({name: value for name, value in attributes.items() if value is not None}),
            self._metrics.series(route, method, status),
        )


def _report(error: Exception, span: Span = INVALID_SPAN) -> None:
    """Telemetry that fails must not fail a request."""
    log.error("telemetry of a request failed", error=error, **ids_of(span))
