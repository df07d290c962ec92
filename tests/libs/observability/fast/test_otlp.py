"""What a collector reads from our bytes is what it reads from the library's."""

import random
import string

import pytest
from libs.observability.lean import LeanTracer, Shared
from libs.observability.otlp import FastExporter, join, prepare
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from tests.libs.observability.receivers import decode_otlp, http_collector

VALUES = [
    True,
    False,
    0,
    1,
    -1,
    2**62,
    0.0,
    1.0,
    -1.5,
    "",
    "1",
    "ü" * 200,
    "🎉",
    ("a", "b"),
    (1, 2),
    b"ab",
    {"a": 1},
    None,
]


SHARED = Shared({"text": "a", "number": 1, "flag": True, "share": 0.5, "umlaut": "ü"})


def some_spans(count: int, *, seed: int = 1, plain: bool = False):
    """Spans of every kind: of both tracers, with and without parent, state, status, events, links."""
    chance = random.Random(seed)
    memory = InMemorySpanExporter()
    providers = [
        TracerProvider(resource=resource, shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=12))
        for resource in (Resource({"service.name": "a", "n": 1}), Resource({"service.name": "b"}, "http://schema"))
    ]
    for provider in providers:
        provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(count):
        provider = chance.choice(providers)
        tracer = chance.choice([LeanTracer("lean", provider), provider.get_tracer("theirs", "1.0", "http://scope")])
        context = Context()
        if chance.random() < 0.5:
            state = TraceState([("k", "v"), ("l", "w")]) if chance.random() < 0.3 else None
            parent = SpanContext(
                chance.getrandbits(128), chance.getrandbits(64), chance.random() < 0.5, TraceFlags(1), state
            )
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        name, kind = "".join(chance.choices(string.printable, k=9)), chance.choice(list(SpanKind))
        span = tracer.start_span(name, context, kind, chance.choice([None, SHARED, {"own": "a"}]))
        for number in range(chance.randrange(16)):
            span.set_attribute(f"key{number}", chance.choice(VALUES))
        if chance.random() < 0.3:
            span.set_status(Status(StatusCode.ERROR, chance.choice([None, "failed", "x" * 300])))
        elif chance.random() < 0.2:
            span.set_status(Status(StatusCode.OK))
        if not plain and chance.random() < 0.2:
            span.add_event("event", {"a": 1})
        if not plain and chance.random() < 0.2:
            span.add_link(SpanContext(1, 2, True), {"b": "c"})
        span.end()
    return list(memory.get_finished_spans())


def encode(spans) -> bytes:
    return join(map(prepare, spans))


def by_group(request: ExportTraceServiceRequest) -> dict[bytes, list[bytes]]:
    """The spans by their resource and scope, in any order: a request may repeat a group."""
    groups: dict[bytes, list[bytes]] = {}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            key = b"|".join(
                (resource.resource.SerializeToString(deterministic=True), resource.schema_url.encode(),
                 scope.scope.SerializeToString(deterministic=True), scope.schema_url.encode())
            )  # fmt: skip
            groups.setdefault(key, []).extend(span.SerializeToString(deterministic=True) for span in scope.spans)
    return {key: sorted(spans) for key, spans in groups.items()}


@pytest.mark.parametrize("seed", range(4))
def test_every_span_is_read_as_the_librarys_encoder_writes_it(seed):
    spans = some_spans(500, seed=seed)
    assert by_group(ExportTraceServiceRequest.FromString(encode(spans))) == by_group(encode_spans(spans))


def test_without_events_and_links_even_the_order_is_the_librarys():
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(300):
        LeanTracer("lean", provider).start_span(f"span {number}", Context(), attributes={"number": number}).end()
    spans = list(memory.get_finished_spans())
    assert ExportTraceServiceRequest.FromString(encode(spans)) == encode_spans(spans)


def test_what_cannot_be_encoded_is_left_out_and_costs_nothing_else():
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    span = LeanTracer("lean", provider).start_span("half a \ud83d pair", Context())
    span.set_attributes({"half": "\ud83d", "large": 2**80, "good": "b"})
    span.end()
    [resource] = ExportTraceServiceRequest.FromString(encode(memory.get_finished_spans())).resource_spans
    [read] = resource.scope_spans[0].spans
    assert read.name == "half a ? pair"
    assert [(each.key, each.value.string_value) for each in read.attributes] == [("good", "b")]


def test_numbers_that_are_equal_keep_their_kind_also_in_sequences():
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for value in ((1, 2), (1.0, 2.0), (True, True), 1, 1.0, True):
        LeanTracer("test", provider).start_span("s", attributes={"k": value}).end()
    spans = kept.get_finished_spans()
    assert ExportTraceServiceRequest.FromString(encode(spans)) == encode_spans(spans)


def test_no_spans_are_no_bytes():
    assert encode([]) == b""


def test_the_exporter_sends_them_and_tells_whether_they_were_taken(monkeypatch):
    spans = some_spans(5, plain=True)
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
        exporter = FastExporter()
        assert exporter.export([prepare(span) for span in spans]) is SpanExportResult.SUCCESS
        collector.status = 400
        assert exporter.export([prepare(span) for span in spans]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert exporter.export([prepare(span) for span in spans]) is SpanExportResult.FAILURE
    path, headers, body = collector.requests[0]
    assert (path, headers["content-type"], headers["x-key"]) == ("/v1/traces", "application/x-protobuf", "secret")
    assert sorted(decode_otlp(body)) == sorted(span.name for span in spans)
