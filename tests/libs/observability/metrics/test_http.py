"""The HTTP families are those of prometheus-fastapi-instrumentator: the real one beside ours."""

import httpx
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator

from libs.observability.http import QUIET, RequestTelemetry
from libs.observability.recording import Recorder
from tests.libs.observability.example import build, counts

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
    app.add_middleware(RequestTelemetry, recorder=Recorder(metrics, app=app))
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
        assert types.get(family.name, "counter") == family.type
    buckets = set(counts(theirs, "http_request_duration_seconds_bucket"))
    assert buckets <= set(counts(registry, "http_request_duration_seconds_bucket"))


async def test_the_routes_of_an_app_are_there_at_0_from_its_start(metrics, registry):
    recorder = Recorder(metrics, app=build())
    recorder.declare(QUIET, lambda _: ("refused",))
    assert set(counts(registry, "http_requests_total").values()) == {0}
    declared = {tuple(value for _, value in labels) for labels in counts(registry, "http_requests_total")}
    for handler, method in [
        ("/items/{id}", "GET"),
        ("/slash/", "POST"),
        ("/api/v1/middle/inner/x/{i}", "GET"),
        ("/sub/s/{z}", "GET"),
        ("/plain/{q}", "GET"),
        ("/opaque", "GET"),
        ("/docs", "GET"),
    ]:
        assert {(handler, method, status) for status in ("2xx", "4xx", "5xx")} <= declared
    assert not {handler for handler, _, _ in declared} & set(QUIET)
    assert set(counts(registry, "http_request_duration_seconds_count").values()) == {0}
    assert counts(registry, "http_problems_total")[("handler", "/items/{id}"), ("type", "refused")] == 0


async def test_what_is_declared_is_what_is_counted(metrics, registry, lines):
    """No request of a route makes a series that was not there before, but for redirects and methods that are refused."""
    app = build()
    recorder = Recorder(metrics, app=app)
    recorder.declare(QUIET, lambda _: ())
    before = set(counts(registry, "http_request_duration_seconds_count"))
    app.add_middleware(RequestTelemetry, recorder=recorder)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for method, path in REQUESTS:
            await client.request(method, path)
    born = {labels[0][1] for labels in set(counts(registry, "http_request_duration_seconds_count")) - before}
    assert born == {"unmatched", "/slash", "/items/{id}", "/api/v1/middle/inner/x/{i}"}
