"""The JSON in a span file says what the library says in protobuf."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from libs.observability.files import RotatingFile
from libs.observability.traces.files import SpanFile, export_request


def some_spans() -> Sequence[ReadableSpan]:
    """Spans of two libraries with all that a span can have."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "auth-service", "numbers": [1, 2]}, "http://schema/1"))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    remote = SpanContext(2**127 + 1, 2**63 + 1, True, TraceFlags(1), TraceState([("a", "b")]))
    one, two = provider.get_tracer("one", "1.0", schema_url="http://schema/2"), provider.get_tracer("two")
    parent = set_span_in_context(NonRecordingSpan(remote))
    with one.start_as_current_span("server", parent, SpanKind.SERVER, links=[Link(remote, {"why": "x"})]) as server:
        server.set_attributes({"bool": True, "int": -7, "float": 0.5, "text": "ü", "list": ["a", "b"], "flags": [True]})
        server.add_event("exception", {"exception.type": "ValueError"})
        server.set_status(Status(StatusCode.ERROR, "failed"))
        two.start_span("client", kind=SpanKind.CLIENT).end()
    one.start_span("root").end()
    return memory.get_finished_spans()


def as_protobuf(document: dict[str, Any]) -> ExportTraceServiceRequest:
    """Our JSON read by the official schema; the specification has ids in hex where protobuf's own JSON has base64."""
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for holder in (span, *span.get("links", ())):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
    return json_format.ParseDict(document, ExportTraceServiceRequest())


def test_the_json_says_what_the_library_says_in_protobuf():
    spans = some_spans()
    assert as_protobuf(json.loads(json.dumps(export_request(spans)))) == encode_spans(spans)


def test_a_batch_is_one_line_and_full_files_are_rotated(tmp_path):
    file = RotatingFile(tmp_path / "spans.jsonl", max_bytes=1, kept=5)
    spans = some_spans()
    assert [SpanFile(file).export(spans) for _ in range(2)] == [SpanExportResult.SUCCESS] * 2
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert len(list(tmp_path.iterdir())) == 2
    assert [json.loads(line) for line in lines] == [json.loads(json.dumps(export_request(spans)))] * 2
