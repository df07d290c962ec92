"""What the tests of the shared layer use: ended spans, written lines, requests, programs with an environment of their own."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client import CollectorRegistry

from libs.observability.context import show_on_spans
from libs.observability.http import RequestTelemetry
from libs.observability.metrics.http import HttpMetrics
from libs.observability.recording import Recorder
from libs.observability.traces.clients import instrument_clients
from libs.observability.traces.exporters import DEFAULTS
from libs.observability.variables import environment
from tests.fixtures.telemetry import configure_lines, lines, span_memory, spans
from tests.libs.observability.example import build

__all__ = ["configure_lines", "lines", "span_memory", "spans"]

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """As all our tests; `make test-versions` runs these without the conftest of the others."""
    return "asyncio"


@pytest.fixture
def tenants_on_spans() -> None:
    """What a service with tenants says once, at its start."""
    show_on_spans({"tenant_id": "tenant.id"})


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
