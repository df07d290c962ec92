"""What a message leaves on its way: the trace and request id that travel with it, a span at each end, counts, a line."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter, time

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, set_span_in_context
from prometheus_client import Counter

from .context import bound, ids_of, working
from .errors import describe, record_error
from .logs.handler import write
from .logs.lines import Line
from .redaction import redact

CONTEXT = "messaging"
_tracer = trace.get_tracer(__name__)


@dataclass(frozen=True)
class EventCounters:
    """What is counted of events; each counter has the one label `event_type`."""

    published: Counter
    """Handed to the transport."""
    consumed: Counter
    failed: Counter
    """Each attempt to handle an event that raised."""


def carrier() -> dict[str, str]:
    """What is stored or sent with an event: `traceparent`, `tracestate` and `request_id` of the current context."""
    travelling: dict[str, str] = {}
    propagate.inject(travelling)
    if request_id := bound().get("request_id"):
        travelling["request_id"] = str(request_id)
    return travelling


@contextmanager
def sending(
    event_type: str, destination: str, system: str, stored: Mapping[str, str], counters: EventCounters
) -> Generator[dict[str, str]]:
    """A producer span under the stored context; yields what to send along.

    The span is not made current: a relay holds many of them open around one request to the destination. An exception
    marks the span and goes on; without one, the event counts as published.
    """
    attributes = _attributes("send", event_type, destination, system)
    parent = propagate.extract(stored, otel.Context())
    span = _tracer.start_span(f"send {destination}", parent, SpanKind.PRODUCER, attributes)
    travelling: dict[str, str] = {}
    propagate.inject(travelling, set_span_in_context(span, parent))
    if request_id := stored.get("request_id"):
        travelling["request_id"] = request_id
    try:
        yield travelling
        counters.published.labels(event_type).inc()
    except Exception as error:
        record_error(span, describe(error))
        raise
    finally:
        span.end()


@contextmanager
def processing(
    event_type: str,
    source: str,
    system: str,
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
    parent = propagate.extract(received, otel.Context())
    attributes = _attributes("process", event_type, source, system)
    span = _tracer.start_span(f"process {event_type}", parent, SpanKind.CONSUMER, attributes)
    ids = ids_of(span)
    started = perf_counter()
    try:
        with working(span, parent, request_id=received.get("request_id"), **fields):
            facts: dict[str, object] = {"event_type": event_type, "source": redact("source", source), **ids}
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
            when_done(partial(_report_success, counters.consumed.labels(event_type), facts | bound() | facts))
    finally:
        span.end()


def _report_success(consumed: Counter, fields: dict[str, object]) -> None:
    consumed.inc()
    write([Line(time(), logging.INFO, "event consumed", CONTEXT, fields, is_routine=True)])


def _attributes(operation: str, event_type: str, destination: str, system: str) -> dict[str, str]:
    return {
        "messaging.system": system,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": destination,
        "cloudevents.event_type": event_type,
    }


def _milliseconds(started: float) -> float:
    return round((perf_counter() - started) * 1000, 3)
