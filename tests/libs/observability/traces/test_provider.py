"""Our provider does what the public classes promise, to libraries, to samplers and to processors of anybody's."""

import json

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from libs.observability.traces.provider import Provider, Tracer
from libs.observability.traces.spans import Span

RESOURCE = Resource({"service.name": "test-service"})


class Seen(SpanProcessor):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.started: list[trace.Span] = []
        self.ended: list[ReadableSpan] = []
        self.calls: list[str] = []

    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:
        self.started.append(span)
        span.set_attribute("seen", True)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append("flush")
        return timeout_millis > 1


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.0)])
def test_a_sampler_that_keeps_nothing_is_obeyed(sampler):
    tracer = Provider(RESOURCE, sampler=sampler).get_tracer("test")
    span = tracer.start_span("work", Context())
    assert not span.is_recording()
    assert span.get_span_context().is_valid
    assert not span.get_span_context().trace_flags.sampled


def test_what_it_makes_are_the_public_classes_and_children_of_any_library_belong_to_the_current_span():
    provider, memory = Provider(RESOURCE), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("ours")
    span = tracer.start_span("parent", Context())
    assert (type(tracer), type(span)) == (Tracer, Span)
    assert isinstance(provider, trace.TracerProvider)
    assert isinstance(tracer, trace.Tracer)
    assert isinstance(span, trace.Span)
    with trace.use_span(span, end_on_exit=True):
        assert trace.get_current_span() is span
        with provider.get_tracer("library").start_as_current_span("child"):
            pass
    child, parent = memory.get_finished_spans()
    assert (child.parent, child.context.trace_id) == (parent.context, parent.context.trace_id)
    assert isinstance(parent, ReadableSpan)


def test_without_a_provider_it_is_the_api_that_does_nothing():
    span = trace.get_tracer("test", tracer_provider=trace.NoOpTracerProvider()).start_span("work", Context())
    assert not span.is_recording()


def test_a_processor_sees_the_span_when_it_starts_and_a_readable_one_when_it_ends():
    provider, seen = Provider(RESOURCE), Seen()
    tracer = provider.get_tracer("test", "1.0")
    provider.add_span_processor(seen)
    span = tracer.start_span("work", attributes={"a": 1})
    assert (seen.started, seen.ended) == ([span], [])
    span.end()
    [ended] = seen.ended
    assert (type(ended), dict(ended.attributes)) == (ReadableSpan, {"a": 1, "seen": True})
    assert (ended.resource, ended.instrumentation_scope.name, ended.instrumentation_scope.version) == (
        RESOURCE,
        "test",
        "1.0",
    )
    assert json.loads(ended.to_json())["name"] == "work"


def test_processors_are_flushed_and_stopped_with_the_provider():
    provider, first, second = Provider(RESOURCE), Seen(), Seen()
    provider.add_span_processor(first)
    provider.add_span_processor(second)
    assert provider.force_flush()
    assert not provider.force_flush(1)
    provider.shutdown()
    assert first.calls == second.calls == ["flush", "flush", "shutdown"]


def test_fastapis_own_telemetry_leaves_no_spans_and_is_one_warning(caplog):
    span = Provider(RESOURCE).get_tracer("fastapi").start_span("a second span for the same request")
    assert not span.is_recording()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_forked_process_is_another_instance_of_the_service(run):
    result = run(
        "import os\n"
        "from opentelemetry.sdk.resources import Resource\n"
        "from libs.observability.traces.provider import Provider\n"
        "provider = Provider(Resource.create({'service.name': 'a'}))\n"
        "tracer = provider.get_tracer('made before')\n"
        "def instances():\n"
        "    spans = (tracer.start_span('x'), provider.get_tracer('made after').start_span('y'))\n"
        "    return [span.resource.attributes['service.instance.id'] for span in spans]\n"
        "def show(): print(*instances(), flush=True)\n"
        "show()\n"
        "if os.fork() == 0: show(); os._exit(0)\n"
        "os.wait(); show()"
    )
    assert result.returncode == 0, result.stderr
    before, child, after = (set(line.split()) for line in result.stdout.splitlines())
    assert (before, len(before), len(child)) == (after, 1, 1)
    assert before != child


def test_a_tracer_that_is_asked_for_again_is_the_same():
    provider = Provider(RESOURCE)
    first = provider.get_tracer("library", "1.0", attributes={"a": 1})
    assert provider.get_tracer("library", "1.0", attributes={"a": 1}) is first
    assert provider.get_tracer("library", "2.0", attributes={"a": 1}) is not first


def test_a_fork_while_another_thread_ends_a_span_does_not_hold_up_the_child(run):
    program = (
        "import os, signal\n"
        "from opentelemetry.sdk.resources import Resource\n"
        "from libs.observability.metrics.families import HTTP\n"
        "from libs.observability.traces.provider import Provider\n"
        "tracer = Provider(Resource({})).get_tracer('test')\n"
        "with tracer.origin.ending, HTTP._lock:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(10)\n"
        "        tracer.start_span('work').end()\n"
        "        HTTP.observe(HTTP.series('/', 'GET', 200), 0.1, 1.0, None)\n"
        "        os._exit(0)\n"
        "print(os.waitpid(child, 0)[1])"
    )
    assert run(program).stdout == "0\n"
