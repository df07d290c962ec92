"""A message carries the trace and the request id of its sender, and leaves a span at each end, counts and one line."""

import asyncio
from collections.abc import Callable

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from prometheus_client import CollectorRegistry, Counter

from libs.observability import bind, get_logger
from libs.observability.context import working
from libs.observability.messaging import EventCounters, carrier, processing, sending
from libs.observability.traces.clients import quietly

log = get_logger("consumer")
TYPE = "tenant.created.v1"
tracer = trace.get_tracer("test")
REGISTRY = CollectorRegistry()
COUNTERS = EventCounters(
    *(
        Counter(f"events_{what}_total", f"Events {what}.", ("event_type",), registry=REGISTRY)
        for what in ("published", "consumed", "failed")
    )
)


@pytest.fixture
def counted() -> Callable[[], list[int]]:
    names = ("events_published_total", "events_consumed_total", "events_failed_total")

    def now() -> list[float]:
        return [REGISTRY.get_sample_value(name, {"event_type": TYPE}) or 0.0 for name in names]

    before = now()
    return lambda: [int(value - old) for value, old in zip(now(), before, strict=True)]


def test_a_carrier_holds_what_there_is(spans):
    assert carrier() == {}
    with tracer.start_as_current_span("request") as span, working(span, request_id="r-1"):
        context = span.get_span_context()
        assert carrier()["traceparent"].startswith(f"00-{format_trace_id(context.trace_id)}-{context.span_id:016x}-")
        assert carrier().keys() == {"traceparent", "request_id"}


def test_one_trace_goes_from_the_request_over_the_relay_to_the_consumer(spans, lines, counted, tenants_on_spans):
    with tracer.start_as_current_span("request") as span, working(span, request_id="r-1"):
        stored = carrier()
    with sending(TYPE, "budget", "http", stored, COUNTERS) as sent:
        assert not trace.get_current_span().get_span_context().is_valid
    with processing(TYPE, "tenant-service", "http", sent, COUNTERS, tenant_id="t-1", event_id="e-1"):
        log.info("budget prepared")
    request, producer, consumer = spans()
    assert len({span.context.trace_id for span in (request, producer, consumer)}) == 1
    assert (producer.kind, producer.name, producer.parent.span_id) == (
        SpanKind.PRODUCER,
        "send budget",
        request.context.span_id,
    )
    assert (consumer.kind, consumer.name, consumer.parent.span_id) == (
        SpanKind.CONSUMER,
        f"process {TYPE}",
        producer.context.span_id,
    )
    assert (consumer.attributes["messaging.system"], consumer.attributes["tenant.id"]) == ("http", "t-1")
    prepared, consumed = lines()
    bound = {
        "trace_id": format_trace_id(consumer.context.trace_id),
        "request_id": "r-1",
        "tenant_id": "t-1",
        "event_id": "e-1",
    }
    assert bound.items() <= prepared.items()
    assert bound.items() <= consumed.items()
    assert {"message": "event consumed", "event_type": TYPE, "source": "tenant-service"}.items() <= consumed.items()
    assert consumed["duration_ms"] >= 0
    assert counted() == [1, 1, 0]


def test_processing_inherits_nothing_of_the_request_that_delivered(spans, lines):
    """The delivering request is quiet, has a trace and a tenant of its own, and gets its context back."""
    with tracer.start_as_current_span("delivery") as outer, working(outer, tenant_id="other"), quietly():
        with processing(TYPE, "tenant-service", "http", {}, COUNTERS):
            assert is_instrumentation_enabled()
            log.info("inside")
        assert not is_instrumentation_enabled()
        assert trace.get_current_span() is outer
        log.info("outside")
    consumer, _ = spans()
    assert consumer.parent is None
    inside, _, outside = lines()
    assert "tenant_id" not in inside
    assert outside["tenant_id"] == "other"


def test_a_consumer_that_fails_is_counted_and_logged_and_its_exception_goes_on(spans, lines, counted):
    with (
        pytest.raises(ValueError, match="no"),
        processing(TYPE, "tenant-service", "http", {}, COUNTERS, tenant_id="t-1"),
    ):
        raise ValueError("no")
    [line] = lines()
    assert (line["level"], line["message"], line["tenant_id"]) == ("error", "event failed", "t-1")
    assert (line["error"]["type"], "Traceback" in line["error"]["stack"]) == ("ValueError", True)
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert counted() == [0, 0, 1]


def test_a_destination_that_fails_is_not_published(spans, counted):
    with pytest.raises(ConnectionError), sending(TYPE, "budget", "http", {}, COUNTERS):
        raise ConnectionError("refused")
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert counted() == [0, 0, 0]


async def test_a_consumer_that_is_stopped_has_neither_consumed_nor_failed(spans, lines, counted):
    started = asyncio.Event()

    async def consume() -> None:
        with processing(TYPE, "tenant-service", "http", {}, COUNTERS):
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(consume())
        await started.wait()
        task.cancel()
    assert task.cancelled()
    assert (counted(), lines(), len(spans())) == ([0, 0, 0], [], 1)


def test_messages_handled_side_by_side_keep_their_fields_apart(lines):
    async def consume(tenant: str, other: asyncio.Event, mine: asyncio.Event) -> None:
        with processing(TYPE, "tenant-service", "http", {}, COUNTERS, tenant_id=tenant):
            mine.set()
            await other.wait()
            bind(user_id=f"user of {tenant}")
            log.info("handled")

    async def both() -> None:
        a, b = asyncio.Event(), asyncio.Event()
        await asyncio.gather(consume("a", a, b), consume("b", b, a))

    asyncio.run(both())
    handled = [line for line in lines() if line["message"] == "handled"]
    assert {(line["tenant_id"], line["user_id"]) for line in handled} == {("a", "user of a"), ("b", "user of b")}


def test_success_is_written_when_the_caller_says_so(lines):
    waiting = []
    with processing(TYPE, "tenant-service", "http", {}, COUNTERS, waiting.append):
        pass
    assert lines() == []
    waiting.pop()()
    assert [line["message"] for line in lines()] == ["event consumed"]
