"""Our provider beside the SDK's, used in the same way: what is exported must not show which of them made it."""

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from libs.observability.traces.attributes import Shared
from libs.observability.traces.provider import Provider
from libs.observability.traces.spans import end_with

Use = Callable[[trace.Tracer], None]
RESOURCE = Resource({"service.name": "test-service"}, "http://schema")
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

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        span.set_attribute("started", span.name)


def described(use: Use, provider: Provider | TracerProvider) -> list[dict[str, Any]]:
    """What is exported, without its times and stacks."""
    memory = InMemorySpanExporter()
    provider.add_span_processor(Started())
    provider.add_span_processor(SimpleSpanProcessor(memory))
    use(provider.get_tracer("test", "1.0", "http://scope", {"of": "the scope"}))
    return [
        json.loads(span.to_json())
        | {"scope": str(span.instrumentation_scope), "flags": span.context.trace_flags}
        | {"dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links)}
        for span in memory.get_finished_spans()
    ]


def both(
    use: Use, sampler: Sampler = DEFAULT_ON, limits: SpanLimits | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What both export."""
    ours = described(use, Provider(RESOURCE, sampler=sampler, ids=Counting(), limits=limits))
    theirs = described(
        use,
        TracerProvider(sampler, RESOURCE, id_generator=Counting(), span_limits=limits, shutdown_on_exit=False),
    )
    for span in (*ours, *theirs):
        del span["start_time"], span["end_time"]
        for event in span["events"]:
            event.pop("timestamp")
            event["attributes"].pop("exception.escaped", None)  # the SDK still says what the conventions have given up
            if stack := event["attributes"].get("exception.stacktrace"):
                event["attributes"]["exception.stacktrace"] = frames_of_the_test(stack)
    assert ours
    return ours, theirs


def frames_of_the_test(stack: str) -> list[str]:
    """The stack without the frames of either provider, and without marks below the lines."""
    first, *frames = "\n".join(line for line in stack.splitlines() if line.strip(" ^~")).split('  File "')
    return [first, *[frame for frame in frames if frame.startswith(__file__)], stack.splitlines()[-1]]


def remote(flags: int, state: TraceState | None = None) -> Context:
    context = SpanContext(0xABC, 0xDEF, True, TraceFlags(flags), state)
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


@pytest.mark.parametrize("attributes", [None, {}, {"plain": "a", "number": 1}, Shared(plain="a", number=1)])
def test_attributes_are_those_of_the_sdk(attributes):
    def use(tracer: trace.Tracer) -> None:
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
    last = Shared({"server.port": 80, "http.route": "last"})

    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context(), attributes=shared)
        span.set_attributes(earlier)
        span.set_attributes(later)
        end_with(span, "ended", last, {"url.path": "/items/1"}, 5)
        tracer.start_span("nothing else", Context()).end()
        end_with(tracer.start_span("at once", Context()), "ended", last, {"url.path": "/items/1"}, 6)

    ours, theirs = both(use)
    assert ours == theirs
    assert [span["name"] for span in ours] == ["ended", "nothing else", "ended"]
    assert shared == {"http.route": "/items/{id}", "http.response.status_code": 200}
    assert last == {"server.port": 80, "http.route": "last"}


def test_shared_attributes_too_are_too_late_after_the_end():
    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context())
        span.end()
        end_with(span, "late", Shared({"http.route": "/"}), {"url.path": "/"}, 5)

    ours, theirs = both(use)
    assert ours == theirs
    assert (ours[0]["name"], ours[0]["attributes"]) == ("work", {"started": "work"})


def test_many_attributes_and_shared_ones_are_still_no_more_than_allowed():
    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context())
        for number in range(127):
            span.set_attribute(f"own {number}", number)
        end_with(span, "work", Shared({f"shared {number}": number for number in range(5)}), {"url.path": "/"}, 5)

    ours, theirs = both(use)
    assert ours == theirs
    assert len(ours[0]["attributes"]) == 128


@pytest.mark.parametrize(
    "limits",
    [
        {"max_span_attributes": 4},
        {"max_span_attribute_length": 10},
        {"max_attribute_length": 10},
        {"max_events": 2},
        {"max_links": 2},
        {"max_event_attributes": 1},
        {"max_link_attributes": 1},
        {"max_attributes": 2},
    ],
)
def test_limits_are_those_of_the_sdk(limits):
    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context(), attributes={f"a{number}": "x" * number for number in range(3)})
        for number in range(20):
            span.set_attributes({f"b{number}": "y" * number})
            span.add_event(f"event {number}", {"text": "z" * number, "more": number})
            span.add_link(SpanContext(number + 1, 2, True), {"text": "z" * number, "more": number})
        span.end()

    ours, theirs = both(use, limits=SpanLimits(**limits))
    assert ours == theirs


def test_events_links_status_and_exceptions_are_those_of_the_sdk():
    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context())
        span.add_event("one", {"a": 1})
        span.add_link(SpanContext(1, 2, True), {"b": 2})
        span.record_exception(ValueError("wrong"))
        span.set_status(Status(StatusCode.ERROR, "failed"))
        span.end()

    ours, theirs = both(use)
    assert ours == theirs


def test_a_span_as_a_context_manager_records_the_exception():
    def use(tracer: trace.Tracer) -> None:
        with pytest.raises(ValueError), tracer.start_span("work", Context()):
            raise ValueError("wrong")

    ours, theirs = both(use)
    assert ours == theirs


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_ON), ParentBased(TraceIdRatioBased(1.0))])
def test_parent_flags_and_trace_state_go_on_as_with_the_sdk(flags, sampler):
    def use(tracer: trace.Tracer) -> None:
        tracer.start_span("root", Context()).end()
        outer = tracer.start_span("outer", remote(flags, TraceState([("a", "b")])))
        with trace.use_span(outer):
            tracer.start_span("inner").end()
        outer.end()

    ours, theirs = both(use, sampler=sampler)
    assert ours == theirs


class Tagging(Sampler):
    """Keeps all but the spans named "no", records without keeping those named "seen", and adds to what it keeps."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Any = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        decision = {"no": Decision.DROP, "seen": Decision.RECORD_ONLY}.get(name, Decision.RECORD_AND_SAMPLE)
        return SamplingResult(decision, {**(attributes or {}), "rate": 1}, TraceState([("by", "sampler")]))

    def get_description(self) -> str:
        return "tagging"


def test_a_sampler_of_anybodys_decides_adds_attributes_and_a_trace_state():
    def use(tracer: trace.Tracer) -> None:
        for name in ("no", "seen", "yes"):
            span = tracer.start_span(name, remote(1), attributes={"given": name})
            assert span.is_recording() is (name != "no")
            span.end()

    ours, theirs = both(use, sampler=Tagging())
    assert ours == theirs
    assert [span["name"] for span in ours] == ["yes"]


@pytest.mark.parametrize("given", [{}, {"record_exception": False}, {"set_status_on_exception": False}])
def test_a_span_in_a_with_statement_is_current_and_records_the_exception(given):
    def use(tracer: trace.Tracer) -> None:
        with pytest.raises(ValueError), tracer.start_as_current_span("outer", Context(), **given) as outer:
            assert trace.get_current_span() is outer
            with tracer.start_as_current_span("inner", kind=SpanKind.CLIENT, links=[Link(SpanContext(1, 2, True))]):
                assert trace.get_current_span() is not outer
            raise ValueError("wrong")
        assert trace.get_current_span() is not outer

    ours, theirs = both(use)
    assert ours == theirs
    assert [span["name"] for span in ours] == ["inner", "outer"]


def test_a_span_in_a_with_statement_may_outlive_it():
    def use(tracer: trace.Tracer) -> None:
        with tracer.start_as_current_span("work", end_on_exit=False) as span:
            pass
        assert span.is_recording()
        span.end()

    ours, theirs = both(use)
    assert ours == theirs


def test_a_decorated_function_has_a_span_for_each_call():
    def use(tracer: trace.Tracer) -> None:
        @tracer.start_as_current_span("work", attributes={"a": 1})
        def work(number: int, *, fails: bool = False) -> int:
            """Works."""
            trace.get_current_span().set_attribute("number", number)
            if fails:
                raise ValueError("wrong")
            return number

        assert (work.__name__, work.__doc__) == ("work", "Works.")
        assert [work(1), work(2)] == [1, 2]
        with pytest.raises(ValueError):
            work(3, fails=True)

    ours, theirs = both(use)
    assert ours == theirs
    assert [span["attributes"]["number"] for span in ours] == [1, 2, 3]


def test_a_decorated_coroutine_function_has_a_span_as_long_as_each_call_runs():
    def use(tracer: trace.Tracer) -> None:
        @tracer.start_as_current_span("work")
        async def work(number: int) -> int:
            await asyncio.sleep(0.001 * number)
            trace.get_current_span().set_attribute("number", number)
            if number == 3:
                raise ValueError("wrong")
            return number

        async def all_at_once() -> list[int | BaseException]:
            return await asyncio.gather(*map(work, (1, 2, 3)), return_exceptions=True)

        assert inspect.iscoroutinefunction(work)
        assert asyncio.run(all_at_once())[:2] == [1, 2]

    ours, theirs = both(use)
    assert ours == theirs
    assert sorted(span["attributes"]["number"] for span in ours) == [1, 2, 3]


def test_a_span_that_has_ended_says_so_and_keeps_what_it_had(caplog):
    span = Provider(RESOURCE).get_tracer("test").start_span("work", Context(), attributes={"a": 1})
    span.end(5)
    with caplog.at_level(logging.WARNING):
        span.set_attribute("b", 2)
        span.add_event("late")
    assert (dict(span.attributes), tuple(span.events), span.end_time) == ({"a": 1}, (), 5)
    assert len(caplog.records) == 2


def test_a_name_that_is_none_costs_no_span():
    def use(tracer: trace.Tracer) -> None:
        span = tracer.start_span("work", Context())
        for name, value in (("good", 1), (5, "x"), ("", "y")):
            span.set_attribute(name, value)
        span.end()

    ours, theirs = both(use)
    assert ours == theirs


def test_an_exception_that_a_span_records_is_bounded_and_without_secrets(spans):
    with pytest.raises(ValueError), trace.get_tracer("test").start_as_current_span("work"):
        raise ValueError("password=hunter2 " + "x" * 1_000_000)
    [span] = spans()
    assert "hunter2" not in span.to_json()
    assert len(span.to_json()) < 20_000
