"""The middleware that sees a request come and go, and hands what it has seen to the recorder."""

import json
import re
from collections.abc import Awaitable, Collection
from random import getrandbits
from time import perf_counter, time_ns

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, TracerProvider, format_trace_id
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .context import begin, end
from .logs.logger import get_logger
from .metrics.process import IN_FLIGHT
from .recording import Recorder
from .traces.clients import quietly
from .traces.scope import get_tracer

log = get_logger(__name__)

QUIET = ("/health/live", "/health/ready", "/metrics")
NOTHING = otel.Context()
SEEN = "observability.seen"
"""Marks the scope of a request that has this middleware around it: one that is inside as well leaves it alone."""
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before its answer
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


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
        recorder: Recorder,
        quiet: Collection[str] = QUIET,
        provider: TracerProvider | None = None,
    ) -> None:
        self.app = app
        self._recorder = recorder
        self._quiet = frozenset(quiet)
        self._tracer = get_tracer(__name__, provider)
        # ASGI's header names are lower-case; a propagator asks for its own spelling.
        self._travelling = {name.lower().encode(): name for name in propagate.get_global_textmap().fields}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or SEEN in scope:
            return await self.app(scope, receive, send)
        scope[SEEN] = True
        root_path: str = scope.get("root_path", "")  # a mount replaces it in the scope
        path: str = scope["path"]
        if (path.removeprefix(root_path) if root_path else path) in self._quiet:
            self._recorder.flush()  # the answer is to include all requests so far
            with quietly():
                return await self.app(scope, receive, send)
        # What is seen of the request stays in variables: an object for it would cost as much as its span.
        started_at, started = time_ns(), perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = headers.get(b"x-request-id")
        if request_id is None or not SANE_REQUEST_ID.fullmatch(request_id):
            request_id = getrandbits(128).to_bytes(16, "big").hex().encode()
        status: int | None = None
        seconds = 0.0  # until the last byte has been handed to the server
        failure: Exception | None = None
        is_cancelled = False

        # A plain function that returns the coroutine of the server: one frame less for each message.
        def watch(message: Message) -> Awaitable[None]:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id)]}
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Now and not when the application returns: background tasks are not latency.
                seconds = perf_counter() - started
            return send(message)

        parent = NOTHING if self._travelling.keys().isdisjoint(headers) else self._parent(headers)
        span = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER, start_time=started_at)
        fields: dict[str, object] = {"request_id": request_id.decode()}
        token = begin(span, fields, parent)
        IN_FLIGHT.requests += 1
        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            status = status or CLIENT_CLOSED_REQUEST
        except Exception as error:
            failure = error
            if status is None:
                await _send_problem(watch)
            elif not seconds:
                raise  # too late for another answer, too early for a whole one: the server closes the connection
        except BaseException:  # a server that stops cancels what takes too long
            is_cancelled = True
            raise
        finally:
            IN_FLIGHT.requests -= 1
            end(token)
            is_whole = not (failure or is_cancelled) or bool(seconds)
            seconds = seconds or perf_counter() - started
            agent = headers.get(b"user-agent", b"")
            self._recorder.add(scope, root_path, agent, status, span, started_at, seconds, failure, is_whole, fields)
        return None

    def _parent(self, headers: dict[bytes, bytes]) -> otel.Context:
        """The caller's trace, by the headers that the propagators know."""
        found = {name: headers[key].decode("latin-1") for key, name in self._travelling.items() if key in headers}
        try:
            return propagate.extract(found, NOTHING)
        except Exception as error:  # a propagator can be anybody's code
            log.warning("the caller's trace cannot be read", error=error)
            return NOTHING


async def _send_problem(send: Send) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "trace_id": trace_id()}
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
