"""What one request leaves behind: a span, two metrics and a line, under the same route template."""

import json
import logging
import re
from collections.abc import Awaitable, Collection, Mapping
from functools import lru_cache
from random import randbytes
from time import perf_counter, time_ns

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, format_trace_id
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.observability.context import begin, end, ids_of
from libs.observability.errors import describe, record_error
from libs.observability.http_metrics import HttpMetrics
from libs.observability.lean import LeanTracer
from libs.observability.logging import get_logger, write
from libs.observability.metrics import HTTP
from libs.observability.redaction import redact_text
from libs.observability.routes import UNMATCHED, route_template
from libs.observability.tracing import quietly

log = get_logger("http")

QUIET = ("/health/live", "/health/ready", "/metrics")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
OTHER = "_OTHER"
NOTHING = otel.Context()
LONGEST_AGENT = 256
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before its answer
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


# The same few programs ask all the time.
_safe_agent = lru_cache(maxsize=1024)(redact_text)


def trace_id() -> str | None:
    """The id of the current trace in hex, None outside of any: for problem documents."""
    span = trace.get_current_span().get_span_context()
    return format_trace_id(span.trace_id) if span.is_valid else None


class RequestTelemetry:
    """The outermost middleware: pure ASGI, because anything else cuts context variables off and costs more than all the rest.

    Requests for `quiet` paths leave nothing, and neither do the calls and queries made for them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        quiet: Collection[str] = QUIET,
        provider: TracerProvider | None = None,
        metrics: HttpMetrics = HTTP,
    ) -> None:
        self.app = app
        self._quiet = frozenset(quiet)
        self._tracer = LeanTracer("libs.observability.http", provider)
        self._metrics = metrics
        self._travelling = frozenset(name.encode() for name in propagate.get_global_textmap().fields)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"] in self._quiet:
            with quietly():
                return await self.app(scope, receive, send)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        parent = NOTHING
        if not self._travelling.isdisjoint(headers):
            found = {name.decode(): headers[name].decode("latin-1") for name in self._travelling & headers.keys()}
            parent = propagate.extract(found, NOTHING)
        seen = _Seen(scope, headers)
        span = self._tracer.start_span(seen.span_method, parent, SpanKind.SERVER)
        token = otel.attach(trace.set_span_in_context(span, parent))
        work = begin(span, {**ids_of(span), "request_id": seen.request_id})

        # A plain function that returns the coroutine of the server: one frame less for each message.
        def note(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                identity = (b"x-request-id", seen.request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), identity]}
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Now and not when the application returns: background tasks are not latency.
                seen.answer()
            return send(message)

        try:
            await self.app(scope, receive, note)
        except ClientDisconnect:
            seen.status = seen.status or CLIENT_CLOSED_REQUEST
        except Exception as error:
            seen.error = error
            if seen.status is None:
                await _send_problem(note)
            elif not seen.ended_at:
                raise  # too late for another answer, too early for a whole one: the server closes the connection
        finally:
            try:
                self._leave_behind(scope, seen, span)
            except Exception as error:
                # Telemetry that fails must not fail a request.
                log.error("telemetry of a request failed", error=error)
            end(work)
            otel.detach(token)
        return None

    def _leave_behind(self, scope: Scope, seen: "_Seen", span: Span) -> None:
        seen.answer()
        route = route_template(scope, seen.app, seen.root_path, seen.status)
        status = seen.status or 500
        # Where the template has no variable part, the path cannot hold anything of a client's.
        path = seen.path if route == seen.path else redact_text(seen.path)
        error = describe(seen.error) if seen.error else None
        if span.is_recording():
            span.set_attributes(_attributes(scope, seen, route, status, path))
            if route != UNMATCHED:
                span.update_name(f"{seen.span_method} {route}")
            if error is not None:
                record_error(span, error)
            elif status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(seen.ended_at)
        context = span.get_span_context()
        kept = context.trace_id if context.trace_flags.sampled else None
        self._metrics.observe(route, seen.method, status, seen.seconds, kept)
        client = scope.get("client")
        fields = {
            "http": {
                "method": seen.method,
                "route": route,
                "path": path,
                "status_code": status,
                "client_ip": client[0] if client else None,
            },
            "duration_ms": round(seen.seconds * 1000, 3),
        }
        level = logging.ERROR if error else logging.WARNING if status >= 500 else logging.INFO
        write(log, level, "request handled", fields, error)


def _attributes(scope: Scope, seen: "_Seen", route: str, status: int, path: str) -> dict[str, str | int]:
    """By the semantic conventions of HTTP servers."""
    attributes: dict[str, str | int] = {
        "http.request.method": seen.method,
        "http.response.status_code": status,
        "url.path": path,
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if route != UNMATCHED:
        attributes["http.route"] = route
    if client := scope.get("client"):
        attributes["client.address"] = client[0]
    if seen.user_agent:
        attributes["user_agent.original"] = _safe_agent(seen.user_agent)
    if server := scope.get("server"):
        attributes["server.address"] = server[0]
        if server[1]:
            attributes["server.port"] = server[1]
    if status >= 500 and seen.error is None:
        attributes["error.type"] = str(status)
    return attributes


class _Seen:
    """What has been seen of one request so far."""

    __slots__ = ("app", "ended_at", "error", "method", "path", "request_id", "root_path", "seconds", "span_method",
                 "started", "status", "user_agent")  # fmt: skip

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        self.started = perf_counter()
        self.seconds = 0.0
        self.ended_at = 0
        self.status: int | None = None
        self.error: Exception | None = None
        # A mount replaces both in the scope.
        self.app = scope.get("app")
        self.root_path = scope.get("root_path", "")
        self.path: str = scope["path"]
        method = scope["method"]
        self.method: str = method if method in METHODS else OTHER
        self.span_method = self.method if self.method != OTHER else "HTTP"
        self.user_agent = headers.get(b"user-agent", b"")[:LONGEST_AGENT].decode("latin-1")
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        sane = request_id and SANE_REQUEST_ID.fullmatch(request_id)
        self.request_id = request_id if sane else randbytes(16).hex()

    def answer(self) -> None:
        """The last byte has been handed to the server; only the first call counts."""
        if not self.ended_at:
            self.seconds = perf_counter() - self.started
            self.ended_at = time_ns()


async def _send_problem(send: Send) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "trace_id": trace_id()}
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
