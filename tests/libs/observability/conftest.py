"""What the tests of the shared layer use: ended spans, written lines, requests, programs with an environment of their own."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from libs.observability import TelemetrySettings
from libs.observability.context import show_on_spans
from libs.observability.http import RequestTelemetry
from libs.observability.logs.configure import configure
from libs.observability.logs.handler import LineHandler
from libs.observability.metrics.http import HttpMetrics
from libs.observability.recording import Recorder
from libs.observability.traces.clients import instrument_clients
from libs.observability.traces.exporters import DEFAULTS
from libs.observability.traces.provider import Provider
from libs.observability.variables import environment
from tests.libs.observability.example import build

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """As all our tests; `make test-versions` runs these without the conftest of the others."""
    return "asyncio"


@pytest.fixture(scope="session")
def span_memory() -> InMemorySpanExporter:
    """Every span that ends in this process; the global provider can be set only once, so the tests share it."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        provider = Provider(Resource({"service.name": "test-service"}))
        trace.set_tracer_provider(provider)
    assert isinstance(provider, Provider)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory


@pytest.fixture
def spans(span_memory: InMemorySpanExporter) -> Callable[[], list[ReadableSpan]]:
    """The spans that have ended in this test, in the order of their ends: `spans()`."""
    span_memory.clear()
    return lambda: list(span_memory.get_finished_spans())


@pytest.fixture
def tenants_on_spans() -> None:
    """What a service with tenants says once, at its start."""
    show_on_spans({"tenant_id": "tenant.id"})


@pytest.fixture
def configure_lines(tmp_path: Path) -> Iterator[Callable[..., Callable[[], list[dict[str, Any]]]]]:
    """Makes this process log as a service does: `read = configure_lines(log_level="debug")`, then `read()`."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook)
    ours: list[LineHandler] = []

    def make(**settings: Any) -> Callable[[], list[dict[str, Any]]]:
        folder = tmp_path / "logs"
        given = {"log_dir": folder, "service_name": "test-service", "service_version": "1.2.3", **settings}
        ours.append(configure(TelemetrySettings(**given)))
        return lambda: read_lines(folder)

    yield make
    for handler in ours:
        handler.write_through()
    root.handlers[:], level, sys.excepthook, threading.excepthook = before
    root.setLevel(level)
    logging.captureWarnings(False)
    warnings.resetwarnings()


@pytest.fixture
def lines(configure_lines: Callable[..., Callable[[], list[dict[str, Any]]]]) -> Callable[[], list[dict[str, Any]]]:
    """The lines written so far, parsed."""
    return configure_lines()


@pytest.fixture
def instrumented_clients() -> Iterator[None]:
    """httpx and httpx2 leave spans, as in a service; httpx only as long as the test, for it is the tests' own client."""
    with environment(DEFAULTS | {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ""}):
        instrument_clients()
        yield
        HTTPXClientInstrumentor().uninstrument()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> HttpMetrics:
    return HttpMetrics(registry)


@pytest.fixture
async def service() -> FastAPI:
    """The app in `example`."""
    return build()


@pytest.fixture
def recorder(metrics: HttpMetrics, service: FastAPI) -> Iterator[Recorder]:
    """Records each request before it returns, unless a test lets it buffer."""
    recorder = Recorder(metrics, app=service)
    yield recorder
    recorder.write_through()


@pytest.fixture
async def client(
    service: FastAPI, recorder: Recorder, spans: Callable[[], list[ReadableSpan]], tenants_on_spans: None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, with our middleware around it."""
    service.add_middleware(RequestTelemetry, recorder=recorder)
    transport = httpx.ASGITransport(service, raise_app_exceptions=False, client=("192.0.2.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The least that a program needs: nothing of the environment of the tests."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LOG_DIR": str(tmp_path / "logs"),
        "SERVICE_NAME": "test-service",
    }


@pytest.fixture
def run(variables: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program to its end: `run("…", OTEL_TRACES_EXPORTER="console")`."""

    def execute(program: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env=variables | given,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return execute


def read_lines(folder: Path, name: str = "combined.log") -> list[dict[str, Any]]:
    """The lines of a log file, each of which has to parse."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]
