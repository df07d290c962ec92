"""What a message leaves behind on its way: the trace and request id that travel with it, a span at each end, counts, a line."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter

from opentelemetry import context as otel
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, set_span_in_context

from libs.observability.context import bound, ids_of, working
from libs.observability.errors import describe, record_error
from libs.observability.lean import LeanTracer
from libs.observability.logging import get_logger, render, write
from libs.observability.metrics import EVENTS_CONSUMED, EVENTS_FAILED, EVENTS_PUBLISHED
from libs.observability.redaction import redact

log = get_logger("messaging")
_tracer = LeanTracer("libs.observability.messaging")


def carrier() -> dict[str, str]:
    """What is stored or sent with an event: `traceparent`, `tracestate` and `request_id` of the current context."""
    travelling: dict[str, str] = {}
    propagate.inject(travelling)
    if request_id := bound().get("request_id"):
        travelling["request_id"] = str(request_id)
    return travelling


@contextmanager
def sending(event_type: str, destination: str, system: str, stored: Mapping[str, str]) -> Generator[dict[str, str]]:
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
        EVENTS_PUBLISHED.labels(event_type).inc()
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
    ids = ids_of(span.get_span_context())
    started = perf_counter()
    try:
        with working(span, parent, request_id=received.get("request_id"), **fields):
            facts: dict[str, object] = {"event_type": event_type, "source": redact("source", source), **ids}
            try:
                yield
            except Exception as error:
                EVENTS_FAILED.labels(event_type).inc()
                facts["duration_ms"] = _milliseconds(started)
                described = describe(error)
                record_error(span, described)
                facts["error"] = described
                write(render(log, logging.ERROR, "event failed", facts | bound() | facts))
                raise
            facts["duration_ms"] = _milliseconds(started)
            when_done(partial(_consumed, event_type, facts | bound() | facts))
    finally:
        span.end()


def _consumed(event_type: str, fields: dict[str, object]) -> None:
    EVENTS_CONSUMED.labels(event_type).inc()
    write(render(log, logging.INFO, "event consumed", fields))


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
