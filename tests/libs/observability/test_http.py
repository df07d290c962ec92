import asyncio
import json
import sys
import threading
from datetime import datetime
from time import perf_counter, time_ns
from typing import Annotated

import httpx
import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from libs.observability.http_metrics import HttpMetrics
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.routing import Mount, Route

from libs.observability import bind, get_logger
from libs.observability.http import MOST_WAITING, RequestTelemetry, settle, trace_id, write_each, write_together

log = get_logger("items")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def who_is_asking() -> None:
    """Runs on a thread: what it binds has to be seen on the loop."""
    bind(user_id="u-1")


async def commit():
    yield
    raise RuntimeError("commit failed")


def build() -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/items/{id}")
    async def read(id: int, asking: Annotated[None, Depends(who_is_asking)]) -> dict[str, str | None]:
        bind(tenant_id="t-1")
        log.info("item read", id=id)
        return {"trace_id": trace_id()}

    @app.get("/broken/{id}")
    async def broken(id: str) -> None:
        raise RuntimeError("password=hunter2")

    @app.get("/commit", dependencies=[Depends(commit)])
    async def after_the_answer() -> str:
        return "done"

    @app.get("/odd")
    async def odd() -> None:
        bind(duration_ms="long", span_id="mine", note="kept")

    @app.get("/unavailable")
    async def unavailable() -> None:
        raise HTTPException(503)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(release.wait)
        return "answered"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]))

    @app.get("/health/live")
    @app.get("/loud")
    async def ask_a_neighbour(port: int) -> int:
        log.info("neighbour asked")
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/")).status_code

    @app.post("/slash/")
    async def slash() -> None: ...

    @app.get("/ids/{id}/")
    async def ids(id: str) -> None: ...

    inner = APIRouter(prefix="/inner")

    @inner.get("/x/{i}")
    async def nested(i: int) -> int:
        return i

    middle = APIRouter(prefix="/middle")
    middle.include_router(inner)
    app.include_router(middle, prefix="/api/v1")
    below = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @below.get("/s/{z}")
    async def mounted(z: str) -> str:
        return z

    app.mount("/sub", below)
    app.router.routes.append(Route("/plain/{q}", plain))
    app.router.routes.append(Mount("/opaque", app=nothing))
    release = asyncio.Event()
    release.set()
    return app


def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


async def nothing(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def neighbour(received: list[str]) -> asyncio.Server:
    """Another service, on a real socket, that keeps the heads of its requests."""

    async def answer(reader, writer):
        received.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry) -> HttpMetrics:
    return HttpMetrics(registry)


@pytest.fixture
async def client(metrics, spans):
    app = build()
    app.add_middleware(RequestTelemetry, metrics=metrics)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def counts(registry: CollectorRegistry, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Value by labels, with the Instrumentator's name for "no route"."""
    settle()
    return {
        tuple(
            sorted((name, "unmatched" if value == "none" else value) for name, value in sample.labels.items())
        ): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == metric
    }


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


async def test_the_time_ends_with_the_answer_and_not_with_background_work(metrics, spans, lines):
    """What is done after the answer waits for the test, so that it cannot have been measured by then."""
    answered, release = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        await nothing(scope, receive, send)
        answered.set()
        await release.wait()

    async def send(message): ...

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    started = perf_counter()
    running = asyncio.ensure_future(RequestTelemetry(app, metrics=metrics)(scope, None, send))
    await answered.wait()
    released, released_ns = perf_counter(), time_ns()
    await asyncio.sleep(0.05)
    release.set()
    await running
    assert lines()[0]["duration_ms"] <= (released - started) * 1000
    assert spans()[0].end_time <= released_ns


async def test_a_cancelled_request_is_still_counted(metrics, spans, lines):
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    running = asyncio.ensure_future(RequestTelemetry(app, metrics=metrics)(scope, None, None))
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


async def waiting_for(what) -> None:
    """Until a list that others fill has something in it."""
    async with asyncio.timeout(10):
        while not what:
            await asyncio.sleep(0.005)


@pytest.fixture
def ended(span_memory):
    """The spans that have been ended while an app runs: nothing is settled by looking."""
    write_together()
    settle()
    span_memory.clear()
    yield span_memory._finished_spans
    write_each()


async def test_a_request_is_written_down_soon_with_nobody_asking(client, ended, lines):
    await client.get("/unavailable")
    await waiting_for(ended)
    assert [span.name for span in ended] == ["GET /unavailable"]
    assert [line["http"]["route"] for line in lines()] == ["/unavailable"]


async def test_one_that_failed_is_written_down_at_once_with_all_before_it(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.http.PAUSE_SECONDS", 600)
    await client.get("/unavailable")
    await client.get("/broken/1")
    assert [span.name for span in ended] == ["GET /unavailable", "GET /broken/{id}"]


async def test_many_do_not_wait_for_the_time_to_pass(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.http.PAUSE_SECONDS", 600)
    await asyncio.gather(*(client.get("/unavailable") for _ in range(MOST_WAITING - 1)))
    assert not ended
    await client.get("/unavailable")
    assert len(ended) == MOST_WAITING


async def test_who_asks_for_the_metrics_sees_every_request(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.http.PAUSE_SECONDS", 600)
    await client.get("/unavailable")
    await client.get("/metrics")
    assert len(ended) == 1


async def test_where_no_app_runs_it_is_written_down_before_the_answer_is_read(client, ended):
    write_each()
    await client.get("/unavailable")
    assert len(ended) == 1


async def test_a_loop_that_has_ended_keeps_no_request_of_another_waiting(ended, metrics):
    async def ask(pause: float) -> None:
        transport = httpx.ASGITransport(RequestTelemetry(nothing, metrics=metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await client.get("/")
        async with asyncio.timeout(10):
            while pause and len(ended) < 2:
                await asyncio.sleep(pause)

    await asyncio.to_thread(asyncio.run, ask(0))
    await asyncio.to_thread(asyncio.run, ask(0.005))
    assert len(ended) == 2


async def test_requests_settled_by_another_thread_are_neither_lost_nor_doubled(metrics, registry, ended, monkeypatch):
    done = threading.Event()

    def meddle() -> None:
        while not done.is_set():
            settle()

    telemetry = RequestTelemetry(nothing, metrics=metrics)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for _ in range(2000):
            await telemetry({"type": "http", "method": "GET", "path": "/x", "headers": []}, None, swallow)
    finally:
        done.set()
        meddler.join()
        sys.setswitchinterval(before)
    assert sum(counts(registry, "http_requests_total").values()) == 2000


async def swallow(message) -> None: ...


async def test_what_is_written_later_is_what_was_known_then(client, ended, lines):
    before = time_ns()
    await client.get("/unavailable")
    after = time_ns()
    await waiting_for(ended)
    [span], [line] = ended, lines()
    assert before <= span.start_time < span.end_time <= after
    assert before <= datetime.fromisoformat(line["timestamp"]).timestamp() * 1e9 <= after + 1000
    assert 0 < line["duration_ms"] <= (after - before) / 1e6


async def test_what_is_bound_does_not_stand_for_what_was_measured(client, lines):
    await client.get("/odd")
    *_, line = lines()
    assert (line["note"], line["http"]["route"], type(line["duration_ms"])) == ("kept", "/odd", float)
    assert len(line["span_id"]) == 16


async def test_telemetry_that_fails_fails_no_request_and_says_of_which(client, lines, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("libs.observability.http.route_template", fail)
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


async def test_other_scopes_pass_through():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await RequestTelemetry(app)({"type": "lifespan"}, None, None)
    await RequestTelemetry(app)({"type": "websocket"}, None, None)
    assert seen == ["lifespan", "websocket"]


async def test_an_unknown_method_is_bounded(metrics, registry, spans, lines):
    scope = {"type": "http", "method": "BREW", "path": "/pot", "headers": []}

    async def send(message): ...

    await RequestTelemetry(nothing, metrics=metrics)(scope, None, send)
    assert counts(registry, "http_requests_total") == {
        (("handler", "unmatched"), ("method", "_OTHER"), ("status", "2xx")): 1
    }
    assert spans()[0].name == "HTTP"


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/items/7", "/items/{id}"),
        ("GET", "/items/seven", "/items/{id}"),
        ("DELETE", "/items/7", "/items/{id}"),
        ("GET", "/api/v1/middle/inner/x/1", "/api/v1/middle/inner/x/{i}"),
        ("POST", "/api/v1/middle/inner/x/1", "/api/v1/middle/inner/x/{i}"),
        ("GET", "/sub/s/9", "/sub/s/{z}"),
        ("POST", "/sub/s/9", "/sub/s/{z}"),
        ("GET", "/sub/nowhere", "unmatched"),
        ("GET", "/opaque/anything", "/opaque"),
        ("GET", "/plain/3", "/plain/{q}"),
        ("POST", "/slash", "/slash"),
        ("GET", "/ids/7", "/ids/{id}"),
        ("GET", "/docs", "/docs"),
        ("GET", "/openapi.json", "/openapi.json"),
        ("GET", "/nowhere/7", "unmatched"),
    ],
)
async def test_the_route_is_its_template_whatever_the_answer(client, lines, method, path, route):
    await client.request(method, path)
    assert lines()[-1]["http"]["route"] == route


REQUESTS = [
    ("GET", "/items/1"),
    ("GET", "/items/2"),
    ("GET", "/items/x"),
    ("DELETE", "/items/1"),
    ("GET", "/broken/1"),
    ("GET", "/unavailable"),
    ("GET", "/background"),
    ("GET", "/stream"),
    ("HEAD", "/items/1"),
    ("POST", "/slash"),
    ("POST", "/slash/"),
    ("GET", "/api/v1/middle/inner/x/1"),
    ("PUT", "/api/v1/middle/inner/x/1"),
    ("GET", "/sub/s/1"),
    ("GET", "/opaque/1"),
    ("GET", "/plain/1"),
    ("GET", "/docs"),
    ("GET", "/nowhere"),
    ("GET", "/sub/nowhere"),
]


async def test_the_http_families_are_those_of_the_instrumentator(metrics, registry, lines):
    """The real one beside ours, over one set of requests: equal names, labels and counts."""
    theirs = CollectorRegistry()
    app = build()
    Instrumentator(registry=theirs).instrument(app)
    app.add_middleware(RequestTelemetry, metrics=metrics)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for method, path in REQUESTS:
            await client.request(method, path)
    for metric in ("http_requests_total", "http_request_duration_seconds_count"):
        ours = counts(registry, metric)
        assert ours == counts(theirs, metric)
        assert sum(ours.values()) == len(REQUESTS)
    types = {family.name: family.type for family in theirs.collect()}
    for family in registry.collect():
        assert types[family.name] == family.type
    buckets = set(counts(theirs, "http_request_duration_seconds_bucket"))
    assert buckets <= set(counts(registry, "http_request_duration_seconds_bucket"))


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_call_of_a_client_is_a_span_that_hands_the_trace_on(spans, library, instrumented_clients):
    received: list[str] = []
    server = await neighbour(received)
    port = server.sockets[0].getsockname()[1]
    with trace.get_tracer("test").start_as_current_span("caller") as caller:
        async with server, library.AsyncClient() as client:
            await client.get(f"http://kim:pw@127.0.0.1:{port}/users/1?token=secret")
    call = spans()[0]
    assert (call.kind, call.parent.span_id) == (SpanKind.CLIENT, caller.get_span_context().span_id)
    assert call.attributes["url.full"] == f"http://127.0.0.1:{port}/users/1"
    assert call.attributes["http.response.status_code"] == 204
    assert f"traceparent: 00-{format_trace_id(call.context.trace_id)}-{call.context.span_id:016x}-0" in received[0]
    assert "secret" not in call.to_json()
