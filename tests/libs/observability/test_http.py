"""One request leaves one span, one line and two metrics, whatever becomes of it."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from time import perf_counter, time_ns
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)
from starlette.types import Message, Receive, Scope, Send

from libs.observability import get_logger, instrument
from libs.observability.http import RequestTelemetry
from tests.libs.observability.example import counts, neighbour, nothing, swallow

log = get_logger("items")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_request_leaves_one_span_one_line_and_two_metrics(client, spans, lines, registry):
    answer = await client.get("/items/7?token=secret", headers={"user-agent": "test"})
    [span] = spans()
    item, request = lines()
    ids = {
        "trace_id": format_trace_id(span.context.trace_id),
        "request_id": answer.headers["x-request-id"],
        "tenant_id": "t-1",
        "user_id": "u-1",
    }
    assert answer.json() == {"trace_id": ids["trace_id"]}
    assert ids.items() <= item.items()
    assert ids.items() <= request.items()
    assert (request["message"], request["context"], request["level"]) == ("request handled", "http", "info")
    assert request["http"] == {
        "method": "GET",
        "route": "/items/{id}",
        "path": "/items/7",
        "status_code": 200,
        "client_ip": "192.0.2.1",
    }
    assert 0 < request["duration_ms"] < 10_000
    assert (span.name, span.kind, span.parent) == ("GET /items/{id}", SpanKind.SERVER, None)
    assert {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
        "url.path": "/items/7",
        "url.scheme": "http",
        "client.address": "192.0.2.1",
        "user_agent.original": "test",
        "tenant.id": "t-1",
        "user.id": "u-1",
    }.items() <= dict(span.attributes).items()
    labels = (("handler", "/items/{id}"), ("method", "GET"))
    assert counts(registry, "http_requests_total") == {(*labels, ("status", "2xx")): 1}
    assert counts(registry, "http_request_duration_seconds_count") == {labels: 1}
    assert "secret" not in json.dumps(lines()) + span.to_json()


async def test_the_callers_trace_and_request_id_go_on(client, spans, lines):
    sent = {"traceparent": TRACEPARENT, "tracestate": "a=b", "x-request-id": "order-1"}
    answer = await client.get("/items/1", headers=sent)
    [span] = spans()
    assert format_trace_id(span.context.trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (span.parent.span_id, span.parent.is_remote) == (0x00F067AA0BA902B7, True)
    assert span.context.trace_state.to_header() == "a=b"
    assert answer.headers["x-request-id"] == "order-1"
    assert {line["request_id"] for line in lines()} == {"order-1"}


@pytest.mark.parametrize("forged", ["a b", "x" * 129, 'a"}\\n{"b', ""])
async def test_an_odd_request_id_is_replaced(client, forged):
    answer = await client.get("/items/1", headers={"x-request-id": forged})
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]


async def test_a_broken_traceparent_starts_a_new_trace(client, spans):
    await client.get("/items/1", headers={"traceparent": "00-zz-01"})
    assert spans()[0].parent is None


async def test_an_unexpected_exception_is_a_problem_a_failed_span_and_an_error_line(client, spans, lines):
    answer = await client.get("/broken/1")
    [span] = spans()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == lines()[0]["request_id"]
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "trace_id": format_trace_id(span.context.trace_id),
    }
    [line] = lines()
    assert (line["level"], line["http"]["status_code"], line["error"]["type"]) == ("error", 500, "RuntimeError")
    assert "in broken" in line["error"]["stack"]
    assert span.status.status_code is StatusCode.ERROR
    [event] = span.events
    assert event.attributes["exception.type"] == "RuntimeError"
    assert "hunter2" not in json.dumps(line) + span.to_json()


async def test_a_commit_that_fails_after_the_answer_is_an_error_line(client, spans, lines):
    answer = await client.get("/commit")
    [line] = lines()
    assert (answer.status_code, line["http"]["status_code"]) == (200, 200)
    assert (line["level"], line["error"]["message"]) == ("error", "commit failed")
    assert spans()[0].status.status_code is StatusCode.ERROR


async def test_a_refusal_of_ours_is_a_warning_and_the_clients_fault_is_not(client, spans, lines):
    await client.get("/unavailable")
    await client.get("/items/seven")
    ours, theirs = lines()
    assert (ours["level"], theirs["level"]) == ("warning", "info")
    assert [span.status.status_code for span in spans()] == [StatusCode.ERROR, StatusCode.UNSET]


async def test_the_time_ends_with_the_answer_and_not_with_background_work(recorder, spans, lines):
    """What is done after the answer waits for the test, so that it cannot have been measured by then."""
    answered, release = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await nothing(scope, receive, send)
        answered.set()
        await release.wait()

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(RequestTelemetry(app, recorder=recorder)(scope, None, swallow))
        await answered.wait()
        released, released_ns = perf_counter(), time_ns()
        await asyncio.sleep(0.05)
        release.set()
    assert lines()[0]["duration_ms"] <= (released - started) * 1000
    assert spans()[0].end_time <= released_ns


async def test_a_cancelled_request_is_still_counted(recorder, spans, lines):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    running = asyncio.ensure_future(RequestTelemetry(app, recorder=recorder)(scope, None, None))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [line["http"]["status_code"] for line in lines()] == [500]
    assert len(spans()) == 1


async def test_nothing_of_a_request_is_left_for_the_next(client, lines):
    """As on a kept-alive connection, both run in one context."""
    await client.get("/items/1")
    log.info("between")
    await client.get("/unavailable")
    [between] = [line for line in lines() if line["message"] == "between"]
    *_, second = lines()
    assert not {"trace_id", "request_id", "tenant_id"} & between.keys()
    assert "tenant_id" not in second


async def test_what_is_bound_does_not_stand_for_what_was_measured(client, lines):
    await client.get("/odd")
    *_, line = lines()
    assert (line["note"], line["http"]["route"], type(line["duration_ms"])) == ("kept", "/odd", float)
    assert len(line["span_id"]) == 16


async def test_telemetry_that_fails_fails_no_request_and_says_of_which(client, lines, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("libs.observability.recording.route_template", fail)
    answer = await client.get("/unavailable")
    assert answer.status_code == 503
    *_, line = lines()
    assert (line["message"], line["error"]["message"]) == ("telemetry of a request failed", "no")
    assert len(line["trace_id"]) == 32


async def test_health_leaves_no_span_no_line_and_no_child(client, spans, lines, registry, instrumented_clients):
    async with await neighbour([]) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await client.get(f"/health/live?port={port}")).json() == 204
        assert [line["message"] for line in lines()] == ["neighbour asked"]
        assert spans() == []
        assert counts(registry, "http_requests_total") == {}
        assert (await client.get(f"/loud?port={port}")).json() == 204
        assert [span.name for span in spans()] == [f"GET 127.0.0.1:{port}", "GET /loud"]


async def test_other_scopes_pass_through(recorder):
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await RequestTelemetry(app, recorder=recorder)({"type": "lifespan"}, None, None)
    await RequestTelemetry(app, recorder=recorder)({"type": "websocket"}, None, None)
    assert seen == ["lifespan", "websocket"]


async def test_an_unknown_method_is_bounded(recorder, registry, spans, lines):
    scope = {"type": "http", "method": "BREW", "path": "/pot", "headers": []}

    await RequestTelemetry(nothing, recorder=recorder)(scope, None, swallow)
    assert counts(registry, "http_requests_total") == {
        (("handler", "unmatched"), ("method", "_OTHER"), ("status", "2xx")): 1
    }
    [span] = spans()
    assert span.name == "HTTP"
    assert (span.attributes["http.request.method"], span.attributes["http.request.method_original"]) == (
        "_OTHER",
        "BREW",
    )


class Unspeakable(Exception):
    """Raises when it is shown."""

    def __str__(self) -> str:
        raise ValueError("no")


async def test_an_exception_that_cannot_be_shown_still_leaves_all_three(recorder, registry, spans, lines):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise Unspeakable

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    await RequestTelemetry(app, recorder=recorder)(scope, None, swallow)
    [line] = lines()
    assert (line["message"], line["error"]["message"]) == ("request handled", "<Unspeakable>")
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert sum(counts(registry, "http_requests_total").values()) == 1


class Capitals(TextMapPropagator):
    """Reads a header of its own spelling, or raises."""

    fields = frozenset(("X-Trace",))

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Context:
        parent = SpanContext(int(carrier["X-Trace"], 16), 7, True, TraceFlags(1))
        return set_span_in_context(NonRecordingSpan(parent), context)

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        """Nothing is sent."""


@pytest.mark.parametrize(("sent", "trace_id"), [(b"abc", 0xABC), (b"none", None)])
async def test_a_propagator_is_heard_whatever_its_spelling_and_may_raise(recorder, spans, lines, sent, trace_id):
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Capitals())
    try:
        telemetry = RequestTelemetry(nothing, recorder=recorder)
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"x-trace", sent)]}
        await telemetry(scope, None, swallow)
    finally:
        propagate.set_global_textmap(before)
    [span] = spans()
    assert (span.parent and span.context.trace_id) == trace_id
    assert [line["level"] for line in lines()] == (["info"] if trace_id else ["warning", "info"])


async def test_a_body_that_breaks_off_is_a_failure_whatever_status_it_began_with(
    service, client, spans, lines, registry
):
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("no more")

    @service.get("/half")
    async def broken_off() -> StreamingResponse:
        return StreamingResponse(half())

    with suppress(RuntimeError, httpx.HTTPError):
        await client.get("/half")
    [line], [span] = lines(), spans()
    assert (line["level"], line["http"]["status_code"], line["error"]["code"]) == ("error", 200, "answer-broken-off")
    assert span.status.status_code is StatusCode.ERROR
    labels = (("handler", "/half"), ("method", "GET"), ("status", "5xx"))
    assert counts(registry, "http_requests_total") == {labels: 1}
    assert counts(registry, "http_problems_total") == {(labels[0], ("type", "answer-broken-off")): 1}


async def test_a_request_is_seen_once_however_many_middlewares_there_are(
    service, recorder, client, spans, lines, registry
):
    [sub] = [route.app for route in service.routes if getattr(route, "path", "") == "/sub"]
    sub.add_middleware(RequestTelemetry, recorder=recorder)
    service.add_middleware(RequestTelemetry, recorder=recorder)
    answer = await client.get("/sub/s/1")
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert [line["http"]["route"] for line in lines()] == [span.attributes["http.route"] for span in spans()]
    assert counts(registry, "http_requests_total") == {
        (("handler", "/sub/s/{z}"), ("method", "GET"), ("status", "2xx")): 1
    }


@pytest.mark.parametrize("path", ["/health/live", "/api/health/live"])
async def test_a_quiet_path_is_quiet_below_a_root_path_too(service, recorder, spans, lines, path):
    """A server that is started with `--root-path` puts it in front of the path, one behind a proxy may not."""
    asked = {"type": "http", "method": "GET", "path": path, "root_path": "/api", "headers": []}
    await RequestTelemetry(nothing, recorder=recorder)(asked, receive_nothing, swallow)
    assert (lines(), spans()) == ([], [])


@pytest.mark.parametrize(
    "hide",
    [
        lambda app: app.mount("/", StaticFiles(directory=".")),
        lambda app: app.add_api_route("/{path:path}", lambda: "a page"),
    ],
)
async def test_metrics_are_served_whatever_other_routes_there_are(hide):
    def log_in() -> None:
        raise HTTPException(401)

    app = FastAPI(dependencies=[Depends(log_in)])
    hide(app)
    instrument(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answer = await client.get("/metrics")
        assert (await client.head("/metrics")).status_code == 200
    assert (answer.status_code, "http_requests_total" in answer.text) == (200, True)


async def receive_nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("given", "believed"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("proxy.example", "proxy.example"),
        ("", None),
        ("x" * 60_000, None),
        ("password=hunter2", None),
        ("192.0.2.7, 192.0.2.8", None),
        ("::1%<script>", "::1"),
        ("-", None),
    ],
)
async def test_of_a_clients_address_only_an_address_is_believed(recorder, lines, spans, given, believed):
    telemetry = RequestTelemetry(nothing, recorder=recorder)
    scope = {"type": "http", "method": "M" * 60_000, "path": "/x", "headers": [], "client": (given, 1)}
    await telemetry(scope, None, swallow)
    assert lines()[0]["http"]["client_ip"] == believed
    assert spans()[0].attributes.get("client.address") == believed


async def test_what_a_client_sends_fills_no_memory(recorder):
    telemetry = RequestTelemetry(nothing, recorder=recorder)
    tracemalloc.start()
    for number in range(100):
        headers = [(b"user-agent", b"%d" % number + b"a" * 60_000)]
        client = (f"{number}" + "c" * 60_000, 1)
        scope = {
            "type": "http",
            "method": f"{number}" + "M" * 60_000,
            "path": "/x",
            "headers": headers,
            "client": client,
        }
        await telemetry(scope, None, swallow)
    del headers, client, scope
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2_000_000


async def test_an_answer_that_is_cancelled_in_its_middle_is_a_failure(recorder, lines, spans, registry):
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    asked = {"type": "http", "method": "GET", "path": "/slow", "headers": []}
    with pytest.raises(asyncio.CancelledError):
        await RequestTelemetry(slow, recorder=recorder)(asked, receive_nothing, swallow)
    [line], [span] = lines(), spans()
    assert (line["level"], line["error"]) == ("warning", {"code": "answer-broken-off"})
    assert span.status.status_code is StatusCode.ERROR
    assert [dict(labels)["status"] for labels in counts(registry, "http_requests_total")] == ["5xx"]


async def test_problems_that_cannot_be_named_are_a_warning_and_keep_no_app_from_starting(lines):
    def broken(route: object) -> list[str]:
        raise KeyError("no such route")

    app = FastAPI()
    app.add_api_route("/x", lambda: None)
    instrument(app, problems=broken)
    async with app.router.lifespan_context(app):
        pass
    assert "routes cannot be shown at 0" in [line["message"] for line in lines()]
