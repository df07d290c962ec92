"""The spans of events."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.observability.traces.provider import Provider


@pytest.fixture
def spans(app_state: dict[str, Any]) -> Callable[[], Sequence[ReadableSpan]]:
    """The spans that have ended in this test."""
    provider, memory = trace.get_tracer_provider(), InMemorySpanExporter()
    assert isinstance(provider, Provider)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return memory.get_finished_spans
