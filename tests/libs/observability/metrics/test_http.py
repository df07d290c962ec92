"""The HTTP families are those of prometheus-fastapi-instrumentator: the real one beside ours."""

import httpx
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator

from libs.observability.http import RequestTelemetry
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
        assert types[family.name] == family.type
    buckets = set(counts(theirs, "http_request_duration_seconds_bucket"))
    assert buckets <= set(counts(registry, "http_request_duration_seconds_bucket"))
