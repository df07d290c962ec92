"""A message carries the trace and the request id of its sender, and leaves a span at each end, counts and one line."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import time

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from prometheus_client import CollectorRegistry, Counter, Histogram

from libs.observability import bind, get_logger
from libs.observability.context import working
from libs.observability.messaging import LATE_SECONDS, EventCounters, Message, carrier, processing, sending
from libs.observability.traces.clients import quietly

log = get_logger("consumer")
TYPE = "tenant.created.v1"
tracer = trace.get_tracer("test")
REGISTRY = CollectorRegistry()
COUNTERS = EventCounters(
    *(
        Counter(f"events_{what}_total", f"Events {what}.", ("event_type",), registry=REGISTRY)
        for what in ("published", "consumed", "failed")
    ),
    *(
        Histogram(f"event_{what}_seconds", f"{what}.", ("event_type",), registry=REGISTRY)
        for what in ("age", "handling")
    ),
)
HAPPENED = Message(
    id="e-1",
    type=TYPE,
    source="tenant-service",
    happened_at=time() + 3600,  # made at collection, and never late, however long the tests before it take
    system="http",
    destination=f"budget:{TYPE}",
    attempt=1,
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
    with sending(HAPPENED, stored, COUNTERS) as sent:
        assert not trace.get_current_span().get_span_context().is_valid
    with processing(HAPPENED, sent, COUNTERS, tenant_id="t-1", event_id="e-1"):
        log.info("budget prepared")
    request, producer, consumer = spans()
    assert len({span.context.trace_id for span in (request, producer, consumer)}) == 1
    assert (producer.kind, producer.name, producer.parent.span_id) == (
        SpanKind.PRODUCER,
        f"send budget:{TYPE}",
        request.context.span_id,
    )
    assert (consumer.kind, consumer.name, consumer.parent.span_id) == (
        SpanKind.CONSUMER,
        f"process budget:{TYPE}",
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
        with processing(HAPPENED, {}, COUNTERS):
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
        processing(HAPPENED, {}, COUNTERS, tenant_id="t-1"),
    ):
        raise ValueError("no")
    [line] = lines()
    assert (line["level"], line["message"], line["tenant_id"]) == ("error", "event failed", "t-1")
    assert (line["error"]["type"], "Traceback" in line["error"]["stack"]) == ("ValueError", True)
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert counted() == [0, 0, 1]


def test_a_destination_that_fails_is_not_published(spans, counted):
    with pytest.raises(ConnectionError), sending(HAPPENED, {}, COUNTERS):
        raise ConnectionError("refused")
    assert spans()[0].status.status_code is StatusCode.ERROR
    assert counted() == [0, 0, 0]


async def test_a_consumer_that_is_stopped_has_neither_consumed_nor_failed(spans, lines, counted):
    started = asyncio.Event()

    async def consume() -> None:
        with processing(HAPPENED, {}, COUNTERS):
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
        with processing(HAPPENED, {}, COUNTERS, tenant_id=tenant):
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
    with processing(HAPPENED, {}, COUNTERS, waiting.append):
        pass
    assert lines() == []
    waiting.pop()()
    assert [line["message"] for line in lines()] == ["event consumed"]


def test_both_spans_say_which_message_it_is(spans):
    message = replace(HAPPENED, routing_key=TYPE)
    with sending(message, {}, COUNTERS, "publish"), processing(replace(message, attempt=2), {}, COUNTERS):
        pass
    consumer, producer = spans()
    both = {
        "messaging.system": "http",
        "messaging.destination.name": f"budget:{TYPE}",
        "messaging.message.id": "e-1",
        "messaging.rabbitmq.destination.routing_key": TYPE,
        "cloudevents.event_id": "e-1",
        "cloudevents.event_source": "tenant-service",
        "cloudevents.event_type": TYPE,
    }
    own = ("messaging.operation.type", "messaging.operation.name", "delivery.attempt")
    assert dict(producer.attributes) == {**both, **dict(zip(own, ("send", "publish", 1), strict=True))}
    assert dict(consumer.attributes) == {**both, **dict(zip(own, ("process", "process", 2), strict=True))}


def test_what_is_late_has_a_trace_of_its_own_that_leads_to_the_earlier_one(spans):
    long_ago = time() - LATE_SECONDS - 1
    with tracer.start_as_current_span("request") as request:
        stored = carrier()
    with sending(replace(HAPPENED, happened_at=long_ago), stored, COUNTERS) as sent:
        pass
    with processing(replace(HAPPENED, happened_at=long_ago, sent_at=time()), sent, COUNTERS):
        pass
    with processing(replace(HAPPENED, sent_at=long_ago), sent, COUNTERS):
        pass
    _, replayed, consumed, waited = spans()
    assert (replayed.parent, [link.context.span_id for link in replayed.links]) == (
        None,
        [request.get_span_context().span_id],
    )
    assert replayed.context.trace_id != request.get_span_context().trace_id
    assert (consumed.parent.span_id, consumed.links) == (replayed.context.span_id, ())
    assert (waited.parent, [link.context.span_id for link in waited.links]) == (None, [replayed.context.span_id])


def test_the_age_of_an_event_is_that_of_its_effect_and_every_attempt_is_timed():
    def timed(name: str) -> float:
        return REGISTRY.get_sample_value(f"event_{name}_seconds_count", {"event_type": "timed"}) or 0.0

    message = replace(HAPPENED, type="timed")
    with pytest.raises(ValueError, match="no"), processing(message, {}, COUNTERS):
        raise ValueError("no")
    assert (timed("age"), timed("handling")) == (0, 1)
    waiting = []
    with processing(message, {}, COUNTERS, waiting.append):
        pass
    assert (timed("age"), timed("handling")) == (0, 2)
    waiting.pop()()
    assert (timed("age"), timed("handling")) == (1, 2)
