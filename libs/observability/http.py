"""The middleware that sees a request come and go, and hands what it has seen to the recorder."""

import json
from collections.abc import Awaitable, Collection
from time import perf_counter

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, TracerProvider, format_trace_id
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .context import begin, end
from .recording import Recorder
from .requests import Request
from .traces.clients import quietly

QUIET = ("/health/live", "/health/ready", "/metrics")
NOTHING = otel.Context()
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before its answer


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
        self._tracer = trace.get_tracer(__name__, tracer_provider=provider)
        self._travelling = frozenset(name.encode() for name in propagate.get_global_textmap().fields)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"] in self._quiet:
            self._recorder.flush()  # the answer is to include all requests so far
            with quietly():
                return await self.app(scope, receive, send)
        request = Request(scope)
        parent = NOTHING if self._travelling.isdisjoint(request.headers) else self._parent(request.headers)
        request.span = self._tracer.start_span(scope["method"], parent, SpanKind.SERVER, start_time=request.started_at)
        token = begin(request, parent)

        # A plain function that returns the coroutine of the server: one frame less for each message.
        def watch(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                identity = (b"x-request-id", request.request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), identity]}
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Now and not when the application returns: background tasks are not latency.
                request.seconds = perf_counter() - request.started
            return send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            request.status = request.status or CLIENT_CLOSED_REQUEST
        except Exception as error:
            request.error = error
            if request.status is None:
                await _send_problem(watch)
            elif not request.seconds:
                raise  # too late for another answer, too early for a whole one: the server closes the connection
        finally:
            end(token)
            request.seconds = request.seconds or perf_counter() - request.started
            self._recorder.add(request, scope)
        return None

    def _parent(self, headers: dict[bytes, bytes]) -> otel.Context:
        """The caller's trace, by the headers that the propagators know."""
        names = self._travelling & headers.keys()
        return propagate.extract({name.decode(): headers[name].decode("latin-1") for name in names}, NOTHING)


async def _send_problem(send: Send) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "trace_id": trace_id()}
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
