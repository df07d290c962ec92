"""A collector reads from our bytes what it reads from the library's."""

import random
import string

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from libs.observability.fast.otlp import encode, join
from libs.observability.traces.attributes import Shared
from libs.observability.traces.provider import Provider
from tests.libs.observability.fast.kept import Kept

VALUES = [
    True,
    False,
    0,
    1,
    -1,
    2**62,
    -(2**63),
    2**63 - 1,
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
PLAIN = [value for value in VALUES if type(value) in (bool, int, float, str)]
SHARED = Shared({"text": "a", "number": 1, "flag": True, "share": 0.5, "umlaut": "ü"})


def some_spans(count: int, *, seed: int = 1) -> tuple[bytes, list[ReadableSpan]]:
    """Spans of every kind, with and without parent, state, status, events, links, limits: encoded by us, and readable."""
    chance = random.Random(seed)
    kept = Kept()
    one, two = Resource({"service.name": "a", "n": 1}), Resource({"service.name": "b"}, "http://schema")
    providers = [
        Provider(one, queues=[kept]),
        Provider(two, queues=[kept]),
        Provider(one, limits=SpanLimits(max_span_attributes=12), queues=[kept]),
    ]
    tracers = [
        tracer
        for provider in providers
        for tracer in (provider.get_tracer("one"), provider.get_tracer("two", "1.0", "http://scope", {"of": "two"}))
    ]
    for _ in range(count):
        context, plain = Context(), chance.random() < 0.5
        if chance.random() < 0.5:
            state = TraceState([("k", "v"), ("l", "w")]) if chance.random() < 0.3 else None
            parent = SpanContext(
                chance.getrandbits(128), chance.getrandbits(64), chance.random() < 0.5, TraceFlags(1), state
            )
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        name, kind = "".join(chance.choices(string.printable, k=9)), chance.choice(list(SpanKind))
        span = chance.choice(tracers).start_span(name, context, kind, chance.choice([None, SHARED, {"own": "a"}]))
        for number in range(chance.randrange(16)):
            span.set_attribute(f"key{number}", chance.choice(PLAIN if plain else VALUES))
        if chance.random() < 0.3:
            span.set_status(Status(StatusCode.ERROR, chance.choice([None, "failed", "x" * 300])))
        elif chance.random() < 0.2:
            span.set_status(Status(StatusCode.OK))
        if not plain and chance.random() < 0.2:
            span.add_event("event", {"a": 1})
        if not plain and chance.random() < 0.2:
            span.add_link(SpanContext(1, 2, True), {"b": "c"})
        span.end()
    return both(kept)


def both(kept: Kept) -> tuple[bytes, list[ReadableSpan]]:
    """What we send of the spans, and what the library would be given."""
    encoded = join([encode(span) for span in kept])
    return encoded, [span.readable() for span in kept]


def read(encoded: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encoded)


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
    encoded, spans = some_spans(500, seed=seed)
    assert by_group(read(encoded)) == by_group(encode_spans(spans))


def test_the_quick_way_is_taken_by_most_of_them_and_the_librarys_by_the_rest():
    """Or the test above would compare the library with itself."""
    kept = Kept()
    tracer = Provider(Resource({}), queues=[kept]).get_tracer("test")
    for attributes in (None, SHARED, {"own": "a", "number": 1}, {"list": ["a"]}):
        tracer.start_span("span", Context(), attributes=attributes).end()
    assert [type(encode(span)) for span in kept] == [tuple, tuple, tuple, ReadableSpan]


def test_without_events_and_links_even_the_order_is_the_librarys():
    kept = Kept()
    tracer = Provider(Resource({}), queues=[kept]).get_tracer("test")
    for number in range(300):
        tracer.start_span(f"span {number}", Context(), attributes={"number": number}).end()
    encoded, spans = both(kept)
    assert read(encoded) == encode_spans(spans)


def test_what_cannot_be_encoded_is_left_out_or_replaced_and_costs_nothing_else():
    kept = Kept()
    span = Provider(Resource({}), queues=[kept]).get_tracer("test").start_span("half a \ud83d pair", Context())
    span.set_attributes({"half": "\ud83d", "large": 2**80, "good": "b"})
    span.end()
    [resource] = read(both(kept)[0]).resource_spans
    [found] = resource.scope_spans[0].spans
    assert found.name == "half a ? pair"
    assert [(each.key, each.value.string_value) for each in found.attributes] == [("half", "?"), ("good", "b")]


def test_numbers_that_are_equal_keep_their_kind_also_in_sequences():
    kept = Kept()
    tracer = Provider(Resource({}), queues=[kept]).get_tracer("test")
    for value in ((1, 2), (1.0, 2.0), (True, True)):
        tracer.start_span("s", attributes={"k": value}).end()
    for value in (1, 1.0, True):
        tracer.start_span("s", attributes={"k": value}).end()
    encoded, spans = both(kept)
    assert by_group(read(encoded)) == by_group(encode_spans(spans))


def test_no_spans_are_no_bytes():
    assert join([]) == b""
