"""Span files as the services write them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from libs.observability.files import RotatingFile
from libs.observability.traces.files import SpanFile
from libs.observability.traces.provider import Provider

Record = Callable[..., Span]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Writes a span of a service, which ended `ago` seconds before now: `record("auth-service", "GET /x", parent)`."""
    files: dict[str, RotatingFile] = {}
    providers: dict[str, Provider] = {}

    def write(
        service: str,
        name: str,
        parent: Span | None = None,
        *,
        kind: SpanKind = SpanKind.SERVER,
        ago: float = 0.0,
        seconds: float = 0.01,
        failed: str = "",
        **attributes: Any,
    ) -> Span:
        if service not in files:
            files[service] = RotatingFile(tmp_path / service / "spans.jsonl", max_bytes=1_000_000, kept=3)
            providers[service] = Provider(Resource({"service.name": service}))
            providers[service].add_span_processor(SimpleSpanProcessor(SpanFile(files[service])))
        end = time.time() - ago
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        span = (
            providers[service]
            .get_tracer("test")
            .start_span(
                name,
                set_span_in_context(parent) if parent else None,
                kind,
                named,
                start_time=int((end - seconds) * 1e9),
            )
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(int(end * 1e9))
        return span

    yield write
    for file in files.values():
        file.close()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """The folders of two services."""
    return {name: tmp_path / name for name in ("auth-service", "budget-service")}
