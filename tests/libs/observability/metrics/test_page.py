"""The page of metrics shows every family in both formats, exemplars where they are understood, and what runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import REGISTRY, Metric

from libs.observability.http import RequestTelemetry
from libs.observability.metrics.page import MetricsRoute
from libs.observability.recording import Recorder
from tests.libs.observability.example import OFF

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(telemetry=OFF)
    app.router.routes.append(MetricsRoute())

    @app.get("/with-exemplar")
    async def ask() -> None: ...

    app.add_middleware(RequestTelemetry, recorder=Recorder())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        yield client


async def test_an_exemplar_leads_to_the_trace_and_is_shown_in_openmetrics_only(client, spans):
    await client.get("/with-exemplar")
    trace_id = f"{spans()[0].context.trace_id:032x}"
    text, open_metrics = (await client.get("/metrics")), (await client.get("/metrics", headers=OPENMETRICS))
    assert text.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert trace_id not in text.text
    exemplars = [line for line in open_metrics.text.splitlines() if f'# {{trace_id="{trace_id}"}}' in line]
    assert {line.split("{")[0] for line in exemplars} == {"http_requests_total", "http_request_duration_seconds_bucket"}
    assert open_metrics.text.endswith("# EOF\n")


async def test_a_trace_that_is_not_kept_is_no_exemplar(spans):
    app = FastAPI(telemetry=OFF)

    @app.get("/unsampled")
    async def ask() -> None: ...

    app.add_middleware(RequestTelemetry, recorder=Recorder(), provider=TracerProvider(sampler=ALWAYS_OFF))
    app.router.routes.append(MetricsRoute())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        await client.get("/unsampled")
        page = (await client.get("/metrics", headers=OPENMETRICS)).text
    lines = [line for line in page.splitlines() if 'handler="/unsampled"' in line]
    assert lines
    assert not [line for line in lines if "trace_id" in line]


async def test_the_process_the_runtime_and_our_loss_are_measured_from_the_start(client):
    page = (await client.get("/metrics")).text
    for series in (
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "python_gc_collections_total{",
        "python_info{",
        "log_lines_dropped_total",
        "spans_exported_total",
        'spans_dropped_total{reason="queue_full"}',
        'spans_dropped_total{reason="export_failed"}',
        "event_loop_lag_seconds_bucket",
    ):
        assert f"\n{series}" in page
    assert "_created" not in page


class Collections:
    """How often the registry has been collected."""

    count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        yield from ()


@pytest.fixture
def collections() -> Iterator[Collections]:
    counted = Collections()
    REGISTRY.register(counted)
    counted.count = 0
    yield counted
    REGISTRY.unregister(counted)


async def test_those_who_ask_at_a_time_share_the_page_of_their_format_whatever_version_they_want(client, collections):
    wanted = [
        f"{kind}; version={number}.0.0" for kind in ("application/openmetrics-text", "a/b") for number in range(9)
    ]
    answers = await asyncio.gather(*(client.get("/metrics", headers={"accept": each}) for each in wanted))
    assert len({answer.headers["content-type"] for answer in answers}) == 2
    assert {answer.status_code for answer in answers} == {200}
    assert 1 < collections.count <= 4  # who came too late for the first one of a format got the second


def test_a_taken_metrics_port_is_one_warning(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(
            "from libs.observability import get_logger, start\nstart()\nget_logger('app').info('goes on')",
            METRICS_PORT=str(taken.getsockname()[1]),
            OTEL_TRACES_EXPORTER="none",
        )
    assert result.returncode == 0
    assert result.stderr.count("METRICS_PORT cannot be used") == 1
    assert "goes on" in result.stderr


def test_service_info_tells_what_is_running(run):
    result = run(
        "from libs.observability import start\nfrom prometheus_client import generate_latest\n"
        "assert start() is start()\nprint(generate_latest().decode())",
        SERVICE_VERSION="1.2.3",
        NODE_ENV="production",
        OTEL_TRACES_EXPORTER="none",
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=me",
    )
    assert (
        'service_info{environment="production",instance_id="me",service="test-service",version="1.2.3"} 1.0'
        in result.stdout
    )
