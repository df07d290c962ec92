"""Records what a request leaves: a span, two metrics and a line, all under one route template; many requests at a time."""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, cast

from fastapi.routing import RouteContext
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode
from prometheus_client import Counter
from starlette.types import Scope

from .context import ids, ids_of
from .errors import describe, record_error
from .logs.handler import write
from .logs.lines import Line
from .logs.logger import get_logger
from .metrics.families import HTTP
from .metrics.http import OTHER, HttpMetrics, Series
from .metrics.process import count_exception
from .pending import Pending
from .redaction import redact_string, to_string
from .routes import UNMATCHED, declared_routes, route_template
from .traces.attributes import Shared
from .traces.spans import end_with, identity_of

CONTEXT = "http"
log = get_logger(CONTEXT)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
# The problem codes of a request that ended with an exception nobody explained, and of one whose answer broke off.
UNHANDLED, BROKEN_OFF = "internal-server-error", "answer-broken-off"
LONGEST_METHOD, LONGEST_AGENT, LONGEST_PATH, LONGEST_FACT, LONGEST_ADDRESS = 32, 256, 4096, 1024, 256
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
FAILED = Status(StatusCode.ERROR)


@dataclass(slots=True)
class Kind:
    """What all requests with the same route, method, status and client have in common, so that it is worked out once."""

    span_name: str
    attributes: Shared
    series: Series
    http: dict[str, object]
    """The object `http` of the line, with an empty path."""
    level: int
    """The level of the line, unless there was an exception."""
    code: str | None
    """The code of the problem, if the request was refused or failed and the reason is known."""
    problems: Counter | None
    """The counter of this problem on this route."""


Ended = tuple[Kind, Span, str, int, float, Exception | None, dict[str, object]]
"""What is kept of a request until it is recorded: kind, span, path, start (nanoseconds since 1970), seconds, exception and
bound fields. It is little, because whatever is kept displaces the memory of the next requests from the processor's caches."""


class Recorder:
    """Records the requests of one app, as soon as `Pending` has a batch of them."""

    def __init__(self, metrics: HttpMetrics = HTTP, *, app: Any = None) -> None:
        """`app` is used to look up the route of a request whose scope does not hold it."""
        self._app = app
        self._metrics = metrics
        self._pending: Pending[Ended] = Pending(self._record_all)
        self.buffer = self._pending.buffer
        self.write_through = self._pending.write_through
        self.flush = self._pending.flush
        # A client can fill this cache with user agents and addresses, some 10 MB; each request is then described anew.
        self._kind = lru_cache(maxsize=4096)(self._describe)

    def declare(self, quiet: Collection[str], problems: Callable[[RouteContext], Iterable[str]]) -> None:
        """Creates the series of the app's routes at 0, without the quiet ones; `problems` names the problem types of a route."""
        for template, methods, route in declared_routes(self._app.routes):
            for method in () if template in quiet else methods:
                self._metrics.declare(template, method, problems(route))

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
        is_whole: bool,
        fields: dict[str, object],
    ) -> None:
        """Takes a request that has ended. One that failed is recorded at once.

        `root_path` is the one that the scope had before routing; `agent` is the user agent; `status` is None if there was
        no answer; `started_at` is in nanoseconds since 1970. `is_whole` is False for an answer that broke off: it counts
        as 5xx, whatever status it began with.
        """
        try:
            kind = self._kind(
                scope["method"][:LONGEST_METHOD],
                route_template(scope, self._app, root_path, status),
                status or 500,
                scope.get("scheme", "http"),
                scope.get("http_version", "1.1"),
                tuple(scope.get("server") or (None, None)),
                # The server may have taken the address from a proxy's header, which can have any length.
                ((scope.get("client") or (None,))[0] or "")[:LONGEST_ADDRESS],
                agent[:LONGEST_AGENT],
                None if is_whole and failure is None and (status or 0) < 400 else _code(is_whole, failure, fields),
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
        client: str,
        agent: bytes,
        code: str | None,
    ) -> Kind:
        """All attributes of the semantic conventions for HTTP servers except the path."""
        is_failure = status >= 500 or code == BROKEN_OFF
        original, method = (None, method) if method in METHODS else (redact_string(method), OTHER)
        name = "HTTP" if method == OTHER else method
        address = _believed(client)
        attributes = {
            "http.request.method": method,
            "http.request.method_original": original,
            "http.response.status_code": status,
            "http.route": route if route != UNMATCHED else None,
            "url.scheme": scheme,
            "network.protocol.version": version,
            "client.address": address,
            "server.address": server[0],
            "server.port": server[1],
            "user_agent.original": redact_string(agent.decode("latin-1")) or None,
            "error.type": code or (str(status) if status >= 500 else None),
        }
        return Kind(
            span_name=name if route == UNMATCHED else f"{name} {route}",
            attributes=Shared({name: value for name, value in attributes.items() if value is not None}),
            series=self._metrics.series(route, method, 500 if is_failure else status),
            http={"method": method, "route": route, "path": "", "status_code": status, "client_ip": address},
            level=logging.WARNING if is_failure else logging.INFO,
            code=code,
            problems=self._metrics.problem(route, code) if code else None,
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
        # A path that equals its template has no variable part, so no client has written anything into it.
        path = path if path == kind.http["route"] else redact_string(path, LONGEST_PATH)
        fields: dict[str, object] = {
            "http": {**kind.http, "path": path},
            "duration_ms": int(seconds * 1_000_000 + 0.5) / 1000,
        }
        level, own = kind.level, {"url.path": path}
        why = cast("dict[str, Any]", bound.pop("error", None) or {})
        if kind.problems is not None:
            kind.problems.inc()
            own |= _on_span(why)
            fields["error"] = why | {"code": kind.code}
        if exception is not None:
            described = describe(exception)
            level, fields["error"] = logging.ERROR, {**why, "code": kind.code, **described}
            record_error(span, described)
            count_exception(described["type"])
            own["error.type"] = described["type"]  # not the status
        elif level != logging.INFO:
            span.set_status(FAILED)
        end_with(span, kind.span_name, kind.attributes, own, ended_at)
        trace_id, span_id, is_sampled = identity_of(span)
        self._metrics.observe(kind.series, seconds, ended_at / 1e9, trace_id if is_sampled else None)
        fields |= ids(trace_id, span_id)
        fields |= bound
        return Line(ended_at / 1e9, level, "request handled", CONTEXT, fields, True)


def _code(is_whole: bool, failure: Exception | None, fields: Mapping[str, Any]) -> str | None:
    """The code of the problem with which a request ended: the one given to `explain`, else ours for an exception."""
    if not is_whole:
        return BROKEN_OFF
    why: Mapping[str, Any] = fields.get("error") or {}
    return why.get("code") or (UNHANDLED if failure else None)


def _on_span(why: Mapping[str, Any]) -> dict[str, Any]:
    """What was given to `explain`, as attributes of the span."""
    said = {**why.get("facts", {}), "message": why.get("message")}
    return {f"problem.{name}": to_string(value)[:LONGEST_FACT] for name, value in said.items() if value is not None}


def _believed(client: str) -> str | None:
    """The client's address if it is an IP address or a host name; None for anything else that a proxy's header held."""
    with suppress(ValueError):
        return str(ip_address(client.partition("%")[0]))  # without the zone behind `%`, which can be any text
    return client if HOST.fullmatch(client) else None


def _report(error: Exception, span: Span = INVALID_SPAN) -> None:
    """Logs that the telemetry of a request failed; the request itself must not fail for that."""
    log.error("telemetry of a request failed", error=error, **ids_of(span))
