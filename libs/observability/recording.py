"""What one request leaves: a span, two metrics and a line, under the same route template, many requests at a time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode
from starlette.types import Scope

from .context import ids, ids_of
from .errors import describe, record_error
from .logs.handler import write
from .logs.lines import Line
from .logs.logger import get_logger
from .metrics.families import HTTP
from .metrics.http import HttpMetrics, Series
from .pending import Pending
from .redaction import redact_string
from .routes import UNMATCHED, route_template
from .traces.attributes import Shared
from .traces.spans import end_with, identity_of

CONTEXT = "http"
log = get_logger(CONTEXT)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
OTHER = "_OTHER"
LONGEST_AGENT, LONGEST_PATH = 256, 4096
FAILED = Status(StatusCode.ERROR)


@dataclass(slots=True)
class Kind:
    """What requests of the same kind have in common."""

    span_name: str
    attributes: Shared
    series: Series
    http: dict[str, object]
    """The object `http` of the line, without the path."""
    level: int
    """Of the line, if there was no exception."""


Ended = tuple[Kind, Span, str, int, float, Exception | None, dict[str, object]]
"""What is kept of a request until it is recorded: kind, span, path, start (nanoseconds since 1970), seconds, exception and
bound fields. It is little, or the requests meanwhile would find their memory out of the processor's caches."""


class Recorder:
    """Records the requests of one app, as soon as `Pending` has a batch of them."""

    def __init__(self, metrics: HttpMetrics = HTTP, *, app: Any = None) -> None:
        """`app` is asked for the route of a request, where the request itself does not tell."""
        self._app = app
        self._metrics = metrics
        self._pending: Pending[Ended] = Pending(self._record_all)
        self.buffer = self._pending.buffer
        self.write_through = self._pending.write_through
        self.flush = self._pending.flush
        # A client can fill this by its user agents, a few megabytes; then each request pays for its own.
        self._kind = lru_cache(maxsize=4096)(self._describe)

    def add(
        self,
        scope: Scope,
        root_path: str,
        agent: bytes,
        status: int | None,
        span: Span,
        started_at: int,
        seconds: float,
        failure: Exception | None,
        fields: dict[str, object],
    ) -> None:
        """Takes a request that has ended. One that failed is recorded at once.

        `root_path` is that of before the request, `agent` its user agent, `status` None if there was no answer;
        `started_at` is in nanoseconds since 1970.
        """
        try:
            kind = self._kind(
                scope["method"],
                route_template(scope, self._app, root_path, status),
                status or 500,
                scope.get("scheme", "http"),
                scope.get("http_version", "1.1"),
                tuple(scope.get("server") or (None, None)),
                (scope.get("client") or (None,))[0],
                agent[:LONGEST_AGENT],
            )
        except Exception as error:
            _report(error, span)
            return
        ended = (kind, span, scope["path"], started_at, seconds, failure, fields.copy())
        self._pending.add(ended, failure is not None)

    def _describe(
        self,
        method: str,
        route: str,
        status: int,
        scheme: str,
        version: str,
        server: tuple[str | None, int | None],
        client: str | None,
        agent: bytes,
    ) -> Kind:
        """By the semantic conventions of HTTP servers, all but the path."""
        verb = method if method in METHODS else OTHER
        name = "HTTP" if verb is OTHER else verb
        attributes = {
            "http.request.method": verb,
            "http.response.status_code": status,
            "http.route": route if route != UNMATCHED else None,
            "url.scheme": scheme,
            "network.protocol.version": version,
            "client.address": client,
            "server.address": server[0],
            "server.port": server[1],
            "user_agent.original": redact_string(agent.decode("latin-1")) or None,
            "error.type": str(status) if status >= 500 else None,
        }
        return Kind(
            span_name=name if route == UNMATCHED else f"{name} {route}",
            attributes=Shared({name: value for name, value in attributes.items() if value is not None}),
            series=self._metrics.series(route, verb, status),
            http={"method": verb, "route": route, "path": "", "status_code": status, "client_ip": client},
            level=logging.WARNING if status >= 500 else logging.INFO,
        )

    def _record_all(self, ended: Sequence[Ended]) -> None:
        lines: list[Line] = []
        for each in ended:
            try:
                lines.append(self._record(*each))
            except Exception as error:
                _report(error, each[1])
        try:
            write(lines)
        except Exception as error:
            _report(error)

    def _record(
        self,
        kind: Kind,
        span: Span,
        path: str,
        started_at: int,
        seconds: float,
        exception: Exception | None,
        bound: dict[str, object],
    ) -> Line:
        """Ends the span, counts the request and returns its line."""
        ended_at = started_at + int(seconds * 1e9)
        # Where the template has no variable part, the path cannot hold anything of a client's.
        path = path if path == kind.http["route"] else redact_string(path)[:LONGEST_PATH]
        fields: dict[str, object] = {
            "http": {**kind.http, "path": path},
            "duration_ms": int(seconds * 1_000_000 + 0.5) / 1000,
        }
        level = kind.level
        if exception is not None:
            level, fields["error"] = logging.ERROR, describe(exception)
            record_error(span, fields["error"])
        elif level != logging.INFO:
            span.set_status(FAILED)
        end_with(span, kind.span_name, kind.attributes, {"url.path": path}, ended_at)
        trace_id, span_id, is_sampled = identity_of(span)
        self._metrics.observe(kind.series, seconds, ended_at / 1e9, trace_id if is_sampled else None)
        fields |= ids(trace_id, span_id)
        fields |= bound
        return Line(ended_at / 1e9, level, "request handled", CONTEXT, fields, True)


def _report(error: Exception, span: Span = INVALID_SPAN) -> None:
    """Telemetry that fails must not fail a request."""
    log.error("telemetry of a request failed", error=error, **ids_of(span))
