"""What the tests of the shared layer use: finished spans, written lines, programs with an environment of their own."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from libs.observability.tracing import DEFAULTS, environment, instrument_clients
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.observability import TelemetrySettings
from libs.observability import logging as lines_of
from libs.observability.http import settle

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def span_memory() -> InMemorySpanExporter:
    """Every span that ends in this process; the global provider can be set only once, so the tests share it."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory


@pytest.fixture
def spans(span_memory: InMemorySpanExporter) -> Callable[[], list[ReadableSpan]]:
    """The spans that have ended in this test, in the order of their ends: `spans()`."""
    settle()
    span_memory.clear()

    def ended() -> list[ReadableSpan]:
        settle()
        return list(span_memory.get_finished_spans())

    return ended


@pytest.fixture
def configure_lines(tmp_path: Path) -> Iterator[Callable[..., Callable[[], list[dict[str, Any]]]]]:
    """Makes this process log as a service does: `read = configure_lines(log_level="debug")`, then `read()`."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook, lines_of._handler)

    def configure(**settings: Any) -> Callable[[], list[dict[str, Any]]]:
        folder = tmp_path / "logs"
        given = {"log_dir": folder, "service_name": "test-service", "service_version": "1.2.3", **settings}
        settle()
        lines_of.configure(TelemetrySettings(**given))

        def written() -> list[dict[str, Any]]:
            settle()
            return read_lines(folder)

        return written

    yield configure
    lines_of._handler.write_through()
    root.handlers[:], level, sys.excepthook, threading.excepthook, lines_of._handler = before
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
    """Runs a program text to its end: `run("…", OTEL_TRACES_EXPORTER="console")`."""

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
