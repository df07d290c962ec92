"""What one request leaves behind: a span, two metrics and a line, under the same route template.

The middleware sees the request come and go; `leave_behind` writes down what it has seen, many requests at a time.
"""

import asyncio
import json
import logging
import os
import re
from asyncio import _get_running_loop  # None outside of asyncio, where the public one raises
from collections import deque
from collections.abc import Awaitable, Collection
from contextvars import Context
from functools import lru_cache
from random import getrandbits
from time import perf_counter, time_ns

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags, TracerProvider, format_trace_id
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.observability.context import Work, begin, end, ids_of
from libs.observability.errors import describe, record_error
from libs.observability.http_metrics import HttpMetrics
from libs.observability.lean import LeanTracer, Shared, set_shared
from libs.observability.logging import Rendered, get_logger, render, write
from libs.observability.metrics import HTTP
from libs.observability.redaction import redact_text
from libs.observability.routes import UNMATCHED, route_template
from libs.observability.tracing import quietly

log = get_logger("http")

QUIET = ("/health/live", "/health/ready", "/metrics")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
OTHER = "_OTHER"
NOTHING = otel.Context()
LONGEST_AGENT, LONGEST_PATH = 256, 4096
# How long, and how many, requests that have ended wait to be written down.
PAUSE_SECONDS, MOST_WAITING = 0.01, 48
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before its answer
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


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
            settle()  # who asks how we are, asks about all requests so far
            with quietly():
                return await self.app(scope, receive, send)
        seen = _Seen(scope)
        parent = NOTHING
        if not self._travelling.isdisjoint(seen.headers):
            found = {
                name.decode(): seen.headers[name].decode("latin-1") for name in self._travelling & seen.headers.keys()
            }
            parent = propagate.extract(found, NOTHING)
        seen.span = self._tracer.start_span(seen.method, parent, SpanKind.SERVER)
        token = begin(seen, parent)

        # A plain function that returns the coroutine of the server: one frame less for each message.
        def note(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                identity = (b"x-request-id", seen.request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), identity]}
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Now and not when the application returns: background tasks are not latency.
                seen.seconds = perf_counter() - seen.started
            return send(message)

        try:
            await self.app(scope, receive, note)
        except ClientDisconnect:
            seen.status = seen.status or CLIENT_CLOSED_REQUEST
        except Exception as error:
            seen.error = error
            if seen.status is None:
                await _send_problem(note)
            elif not seen.seconds:
                raise  # too late for another answer, too early for a whole one: the server closes the connection
        finally:
            end(token)
            seen.seconds = seen.seconds or perf_counter() - seen.started
            self._later(scope, seen)
        return None

    def _later(self, scope: Scope, seen: "_Seen") -> None:
        """Has the request written down together with others, within 10 milliseconds; one that failed, at once.

        In a row the same work takes less than half the time that it takes between two runs of the application, whose
        code and data push ours out of the processor's caches: measured, 7 microseconds in place of 18.
        """
        global _armed_in
        _ended.append((self, scope, seen, seen.fields.copy()))
        loop = _get_running_loop()
        if not _together or seen.error or loop is None or len(_ended) >= MOST_WAITING:
            settle()
        elif len(_ended) == 1 or loop is not _armed_in:
            _armed_in = loop
            loop.call_later(PAUSE_SECONDS, _settle_from, _ended[0], context=Context())

    def leave_behind(self, scope: Scope, seen: "_Seen", bound: dict[str, object]) -> Rendered | None:
        """Ends the span, counts the request and returns its line."""
        span, seconds = seen.span, seen.seconds
        ended_at = seen.started_at + int(seconds * 1e9)
        route = route_template(scope, seen.app, seen.root_path, seen.status)
        status = seen.status or 500
        method = seen.method if seen.method in METHODS else OTHER
        # Where the template has no variable part, the path cannot hold anything of a client's.
        path = seen.path if route == seen.path else redact_text(seen.path)[:LONGEST_PATH]
        client, _ = scope.get("client") or (None, None)
        error = describe(seen.error) if seen.error else None
        if span.is_recording():
            agent = seen.headers.get(b"user-agent", b"")[:LONGEST_AGENT]
            host, port = scope.get("server") or (None, None)
            scheme, version = scope.get("scheme", "http"), scope.get("http_version", "1.1")
            shared = _shared(method, route, status, scheme, version, host, port, client, agent)
            set_shared(span, shared, {"url.path": path})
            verb = "HTTP" if method is OTHER else method
            span.update_name(verb if route == UNMATCHED else f"{verb} {route}")
            if error is not None:
                record_error(span, error)
            elif status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(ended_at)
        context = span.get_span_context()
        kept = context.trace_id if context.trace_flags & TraceFlags.SAMPLED else None
        self._metrics.observe(route, method, status, seconds, ended_at / 1e9, kept)
        fields = {
            "http": {"method": method, "route": route, "path": path, "status_code": status, "client_ip": client},
            "duration_ms": int(seconds * 1_000_000 + 0.5) / 1000,
            **({"error": error} if error else {}),
            **ids_of(context),
            **bound,
        }
        level = logging.ERROR if error else logging.WARNING if status >= 500 else logging.INFO
        return render(log, level, "request handled", fields, ended_at / 1e9)


_Ended = tuple[RequestTelemetry, Scope, "_Seen", dict[str, object]]
_ended: deque[_Ended] = deque()
_together = False
_armed_in: asyncio.AbstractEventLoop | None = None
os.register_at_fork(after_in_child=_ended.clear)


def write_together() -> None:
    """From now on requests are written down many at a time: an event loop is about to run."""
    global _together
    _together = True


def write_each() -> None:
    """Writes down what waits; from now on each request is written down before it returns."""
    global _together
    _together = False
    settle()


def settle() -> None:
    """Writes down all requests that have ended."""
    lines: list[Rendered | None] = []
    while True:
        try:
            telemetry, scope, seen, bound = _ended.popleft()
        except IndexError:
            break
        try:
            lines.append(telemetry.leave_behind(scope, seen, bound))
        except Exception as error:
            _failed(error, ids_of(seen.span.get_span_context()))
    try:
        write(*lines)
    except Exception as error:
        _failed(error, {})


def _settle_from(first: _Ended) -> None:
    """Settles those that have waited since this one ended, unless that has happened."""
    if _ended and _ended[0] is first:
        settle()


def _failed(error: Exception, ids: dict[str, str]) -> None:
    """Telemetry that fails must not fail a request."""
    log.error("telemetry of a request failed", error=error, **ids)


@lru_cache(maxsize=4096)
def _shared(
    method: str,
    route: str,
    status: int,
    scheme: str,
    version: str,
    host: str | None,
    port: int | None,
    client: str | None,
    agent: bytes,
) -> Shared:
    """By the semantic conventions of HTTP servers, all but the path: requests of the same kind have the same.

    A client can fill the cache by its user agents, a few megabytes; then each request pays for its own.
    """
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
    return Shared({name: value for name, value in attributes.items() if value is not None})


class _Seen(Work):
    """What has been seen of one request so far."""

    __slots__ = ("app", "error", "headers", "method", "path", "request_id", "root_path", "seconds", "started",
                 "started_at", "status")  # fmt: skip
    span: Span

    def __init__(self, scope: Scope) -> None:
        self.started_at = time_ns()
        self.started = perf_counter()
        self.seconds = 0.0  # until the last byte has been handed to the server
        self.status: int | None = None
        self.error: Exception | None = None
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        # A mount replaces both in the scope.
        self.app = scope.get("app")
        self.root_path = scope.get("root_path", "")
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        given = self.headers.get(b"x-request-id")
        self.request_id = _sane(given.decode("latin-1")) if given else _new_id()
        self.fields = {"request_id": self.request_id}


def _sane(request_id: str) -> str:
    return request_id if SANE_REQUEST_ID.fullmatch(request_id) else _new_id()


def _new_id() -> str:
    return getrandbits(128).to_bytes(16, "big").hex()


async def _send_problem(send: Send) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "trace_id": trace_id()}
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
