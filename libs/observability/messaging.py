"""What a message leaves on its way: the trace and request id that travel with it, a span at each end, counts, a line."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter, time

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, set_span_in_context
from prometheus_client import Counter, Histogram

from .context import bound, ids_of, working
from .errors import describe, record_error
from .logs.handler import write
from .logs.lines import Line
from .redaction import redact
from .traces.scope import get_tracer

CONTEXT = "messaging"
LATE_SECONDS = 300.0
"""What is sent or arrives later than this, as by a replay, has a trace of its own, with a link to the earlier one."""
_tracer = get_tracer(__name__)


@dataclass(frozen=True)
class Message:
    """One event on its way, as its spans show it."""

    id: str
    type: str
    source: str
    happened_at: float
    """When the event was published, in seconds since 1970; `sent_at` likewise."""
    system: str
    destination: str
    """The queue or exchange, in the form that the conventions give for the system; of few values."""
    routing_key: str | None = None
    attempt: int | None = None
    """1 for the first."""
    sent_at: float | None = None
    """When it was handed to the queue that it now comes from; None for one that arrives at once."""


@dataclass(frozen=True)
class EventCounters:
    """What is counted and timed of events, each by the one label `event_type`."""

    published: Counter
    """Handed to the transport."""
    consumed: Counter
    failed: Counter
    """Each attempt to handle an event that raised."""
    age: Histogram
    """From the event to its effect, when that is done."""
    handling: Histogram
    """Each attempt to handle an event."""


def carrier() -> dict[str, str]:
    """What is stored or sent with an event: `traceparent`, `tracestate` and `request_id` of the current context."""
    travelling: dict[str, str] = {}
    propagate.inject(travelling)
    if request_id := bound().get("request_id"):
        travelling["request_id"] = str(request_id)
    return travelling


@contextmanager
def sending(
    message: Message, stored: Mapping[str, str], counters: EventCounters, operation: str = "send"
) -> Generator[dict[str, str]]:
    """A producer span under the stored context; yields what to send along. `operation` is what the system calls it.

    The span is not made current: a relay holds many of them open around one request to the destination. An exception
    marks the span and goes on; without one, the event counts as published.
    """
    span, parent = _start(message, stored, SpanKind.PRODUCER, message.happened_at, "send", operation)
    travelling: dict[str, str] = {}
    propagate.inject(travelling, set_span_in_context(span, parent))
    if request_id := stored.get("request_id"):
        travelling["request_id"] = request_id
    try:
        yield travelling
        counters.published.labels(message.type).inc()
    except Exception as error:
        record_error(span, describe(error))
        raise
    finally:
        span.end()


@contextmanager
def processing(
    message: Message,
    received: Mapping[str, str],
    counters: EventCounters,
    when_done: Callable[[Callable[[], object]], object] = lambda succeed: succeed(),
    /,
    **fields: object,
) -> Generator[None]:
    """A consumer span under the received context, with the sender's request id and `fields` bound to the log.

    Nothing of the surrounding context is inherited, neither its trace nor its suppression. Leaves one line and one
    count: consumed, or failed with the exception, which goes on. `when_done` is given what writes the line and the count
    of success, for a caller whose work is done later, as by a commit; by default both are written at once.
    """
    span, parent = _start(message, received, SpanKind.CONSUMER, message.sent_at, "process", "process")
    ids = ids_of(span)
    event_type, source = message.type, redact("source", message.source)
    started = perf_counter()
    try:
        with working(span, parent, request_id=received.get("request_id"), **fields):
            facts: dict[str, object] = {"event_type": event_type, "source": source, **ids}
            try:
                yield
            except Exception as error:
                counters.failed.labels(event_type).inc()
                facts["duration_ms"] = _milliseconds(started)
                described = describe(error)
                record_error(span, described)
                facts["error"] = described
                write([Line(time(), logging.ERROR, "event failed", CONTEXT, facts | bound() | facts)])
                raise
            facts["duration_ms"] = _milliseconds(started)
            when_done(partial(_report_success, message, counters, facts | bound() | facts))
    finally:
        counters.handling.labels(event_type).observe(perf_counter() - started)
        span.end()


def _report_success(message: Message, counters: EventCounters, fields: dict[str, object]) -> None:
    counters.consumed.labels(message.type).inc()
    counters.age.labels(message.type).observe(max(0.0, time() - message.happened_at))
    write([Line(time(), logging.INFO, "event consumed", CONTEXT, fields, is_routine=True)])


def _start(
    message: Message, carried: Mapping[str, str], kind: SpanKind, since: float | None, action: str, operation: str
) -> tuple[Span, otel.Context]:
    """The span of one end, and the context it is in: the carried one, or a new one for what is late."""
    parent, links = propagate.extract(carried, otel.Context()), None
    if since is not None and time() - since > LATE_SECONDS:
        earlier = trace.get_current_span(parent).get_span_context()
        parent, links = otel.Context(), [Link(earlier)] if earlier.is_valid else None
    attributes = {
        "messaging.system": message.system,
        "messaging.operation.type": action,
        "messaging.operation.name": operation,
        "messaging.destination.name": message.destination,
        "messaging.message.id": message.id,
        "messaging.rabbitmq.destination.routing_key": message.routing_key,
        "delivery.attempt": message.attempt,
        "cloudevents.event_id": message.id,
        "cloudevents.event_source": message.source,
        "cloudevents.event_type": message.type,
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    return _tracer.start_span(f"{operation} {message.destination}", parent, kind, known, links), parent


def _milliseconds(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
