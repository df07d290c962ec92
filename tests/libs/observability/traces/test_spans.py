"""A lean span beside one of the SDK, told the same: what is exported must not show which of them it was."""

import json
import logging
from collections.abc import Callable

import pytest
from libs.observability.lean import LeanSpan, LeanTracer, Shared, set_shared
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

ANYTHING = {
    "text": "x" * 40,
    "long": "y" * 400,
    "number": 7,
    "share": 0.5,
    "flag": True,
    "list": ["a", "b"],
    "mixed": [1, "a"],
    "none": None,
    "object": object,
    "map": {"a": 1},
}


class Counting(IdGenerator):
    """The same ids for both."""

    def __init__(self) -> None:
        self.last = 0

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last


class Started(SpanProcessor):
    """Marks what it has seen start."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attribute("started", span.name)


def described(use: Callable[[trace.Tracer], None], make: Callable[[TracerProvider], object], **given) -> list[dict]:
    provider, memory = TracerProvider(id_generator=Counting(), shutdown_on_exit=False, **given), InMemorySpanExporter()
    provider.add_span_processor(Started())
    provider.add_span_processor(SimpleSpanProcessor(memory))
    use(make(provider))
    return [
        json.loads(span.to_json())
        | {"scope": str(span.instrumentation_scope), "flags": span.context.trace_flags}
        | {"dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links)}
        for span in memory.get_finished_spans()
    ]


def both(use: Callable[[trace.Tracer], None], **given) -> tuple[list[dict], list[dict]]:
    ours = described(use, lambda provider: LeanTracer("test", provider), **given)
    theirs = described(use, lambda provider: provider.get_tracer("test"), **given)
    for span in (*ours, *theirs):
        span.pop("resource")["attributes"].pop("service.instance.id")
        del span["start_time"], span["end_time"]
        for event in span["events"]:
            event.pop("timestamp")
    assert ours
    return ours, theirs


def remote(flags: int, state: TraceState | None = None) -> Context:
    context = SpanContext(0xABC, 0xDEF, True, TraceFlags(flags), state)
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


@pytest.mark.parametrize("attributes", [None, {}, {"plain": "a", "number": 1}, Shared(plain="a", number=1)])
def test_attributes_are_those_of_the_sdk(attributes):
    def use(tracer):
        span = tracer.start_span("work", Context(), SpanKind.SERVER, attributes)
        span.set_attribute("later", "b")
        span.set_attributes({"plain": "c", "more": 2})
        for name, value in ANYTHING.items():
            span.set_attribute(name, value)
        span.update_name("renamed")
        span.end()
        span.set_attribute("too", "late")
        span.update_name("too late")
        span.end()

    ours, theirs = both(use)
    assert ours == theirs


@pytest.mark.parametrize("earlier", [{}, {"tenant.id": "t"}, {"http.route": "theirs"}, ANYTHING])
@pytest.mark.parametrize("later", [{}, {"error.type": "late"}, {"http.route": "later"}, ANYTHING])
def test_shared_attributes_are_set_like_any_others(earlier, later):
    shared = Shared({"http.route": "/items/{id}", "http.response.status_code": 200})

    def use(tracer):
        span = tracer.start_span("work", Context())
        span.set_attributes(earlier)
        set_shared(span, shared, {"url.path": "/items/1"})
        set_shared(span, Shared({"server.port": 80}), {})
        span.set_attributes(later)
        span.end()

    ours, theirs = both(use)
    assert ours == theirs
    assert shared == {"http.route": "/items/{id}", "http.response.status_code": 200}


def test_shared_attributes_too_are_too_late_after_the_end():
    def use(tracer):
        span = tracer.start_span("work", Context())
        span.end()
        set_shared(span, Shared({"http.route": "/"}), {"url.path": "/"})

    ours, theirs = both(use)
    assert ours == theirs
    assert ours[0]["attributes"] == {"started": "work"}


def test_many_attributes_and_shared_ones_are_still_no_more_than_allowed():
    def use(tracer):
        span = tracer.start_span("work", Context())
        for number in range(127):
            span.set_attribute(f"own {number}", number)
        set_shared(span, Shared({f"shared {number}": number for number in range(5)}), {"url.path": "/"})
        span.end()

    ours, theirs = both(use)
    assert ours == theirs
    assert len(ours[0]["attributes"]) == 128


@pytest.mark.parametrize("limits", [{"max_span_attributes": 4}, {"max_span_attribute_length": 10}, {"max_events": 2}])
def test_limits_are_those_of_the_sdk(limits):
    def use(tracer):
        span = tracer.start_span("work", Context(), attributes={f"a{number}": "x" * number for number in range(3)})
        for number in range(20):
            span.set_attributes({f"b{number}": "y" * number})
            span.add_event(f"event {number}", {"text": "z" * number})
        span.end()

    ours, theirs = both(use, span_limits=SpanLimits(**limits))
    assert ours == theirs


def test_events_links_status_and_exceptions_are_those_of_the_sdk():
    def use(tracer):
        span = tracer.start_span("work", Context())
        span.add_event("one", {"a": 1})
        span.add_link(SpanContext(1, 2, True), {"b": 2})
        span.record_exception(ValueError("wrong"))
        span.set_status(Status(StatusCode.ERROR, "failed"))
        span.end()

    ours, theirs = both(use)
    assert ours == theirs


def test_a_span_as_a_context_manager_records_the_exception():
    def use(tracer):
        with pytest.raises(ValueError), tracer.start_span("work", Context()):
            raise ValueError("wrong")

    ours, theirs = both(use)
    assert ours == theirs


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_ON), ParentBased(TraceIdRatioBased(1.0))])
def test_parent_flags_and_trace_state_go_on_as_with_the_sdk(flags, sampler):
    def use(tracer):
        tracer.start_span("root", Context()).end()
        outer = tracer.start_span("outer", remote(flags, TraceState([("a", "b")])))
        with trace.use_span(outer):
            tracer.start_span("inner").end()
        outer.end()

    ours, theirs = both(use, sampler=sampler)
    assert ours == theirs


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.0)])
def test_a_sampler_that_keeps_nothing_is_obeyed(sampler):
    tracer = LeanTracer("test", TracerProvider(sampler=sampler, shutdown_on_exit=False))
    span = tracer.start_span("work", Context())
    assert not span.is_recording()
    assert span.get_span_context().is_valid
    assert not span.get_span_context().trace_flags.sampled


def test_it_is_lean_where_it_can_be_and_children_of_the_sdk_belong_to_it():
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    span = LeanTracer("test", provider).start_span("parent", Context())
    assert type(span) is LeanSpan
    with trace.use_span(span, end_on_exit=True):
        assert trace.get_current_span() is span
        with provider.get_tracer("library").start_as_current_span("child"):
            pass
    child, parent = memory.get_finished_spans()
    assert (child.parent, child.context.trace_id) == (parent.context, parent.context.trace_id)
    assert isinstance(parent, ReadableSpan)


def test_without_a_provider_it_is_the_api_that_does_nothing():
    span = LeanTracer("test", trace.NoOpTracerProvider()).start_span("work", Context())
    assert not span.is_recording()


def test_what_comes_after_the_end_changes_nothing_and_is_said(caplog):
    span = LeanTracer("test", TracerProvider(shutdown_on_exit=False)).start_span("work", Context(), attributes={"a": 1})
    span.end(5)
    with caplog.at_level(logging.WARNING):
        span.set_attribute("b", 2)
        span.add_event("late")
    assert (dict(span.attributes), span.events, span.end_time) == ({"a": 1}, (), 5)
    assert len(caplog.records) == 2
