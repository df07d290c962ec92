"""A span behind the public class of opentelemetry-api, at a fraction of the SDK's price.

A span of the SDK is expensive because it accepts values of any type and watches limits that a request does not reach. This
one keeps plain attributes in a plain dictionary (`attributes` says which are plain). As soon as it is given any other, it hands
its attributes to the SDK's `BoundedAttributes`, which cleans and limits them. Processors and exporters of others get the SDK's
`ReadableSpan`; a test holds the span against the SDK's own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import time_ns
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ..errors import describe
from ..redaction import redact_string, to_string
from .attributes import MOST_PLAIN, Shared, is_plain

log = logging.getLogger(__name__)

UNSET = Status(StatusCode.UNSET)
NO_STATE = TraceState.get_default()


@dataclass(slots=True, eq=False)
class Origin:
    """What all spans of one tracer have in common."""

    resource: Resource
    scope: InstrumentationScope
    limits: SpanLimits
    on_end: "Sequence[Callable[[Span], None]]"
    """Who is given a span that has ended."""
    has_room: bool
    """Whether plain attributes cannot exceed the limits."""
    ending: Lock = field(default_factory=Lock)
    """Held for a comparison, since two threads may end one span."""


class Span(trace.Span):
    """A recording span. `Tracer.start_span` makes it; all of its times are nanoseconds since 1970."""

    end_time: int | None = None
    status: Status = UNSET
    events: Sequence[Event] = ()
    links: Sequence[Link] = ()
    shared: Shared | None = None
    parent: SpanContext | None = None
    state: TraceState = NO_STATE
    records_exception = sets_status_on_exception = True
    _context: SpanContext | None = None

    def __init__(
        self, name: str, kind: SpanKind, trace_id: int, span_id: int, flags: TraceFlags, start_time: int, origin: Origin
    ) -> None:
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.flags = flags
        self.start_time = start_time
        self.origin = origin
        self.own: dict[str, Any] | BoundedAttributes = {}

    def get_span_context(self) -> SpanContext:
        if self._context is None:
            self._context = SpanContext(self.trace_id, self.span_id, False, self.flags, self.state)
        return self._context

    context = property(get_span_context)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All attributes, shared and own."""
        return self.own if self.shared is None else {**self.shared, **self.own}

    @property
    def resource(self) -> Resource:
        """The process that the span belongs to."""
        return self.origin.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """The tracer that made the span."""
        return self.origin.scope

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self._warn_if_ended("set attributes on"):
            return
        own, shared = self.own, self.shared
        if isinstance(own, dict) and self.origin.has_room:
            if shared is not None and not shared.keys().isdisjoint(attributes):
                own, shared = self.own, self.shared = {**shared, **own}, None
            number = len(own) + len(shared or ()) + len(attributes)
            if number <= MOST_PLAIN and all(map(is_plain, attributes, attributes.values())):
                own.update(attributes)
                return
        self._bounded().update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.set_attributes({key: value})

    def set_plain(self, shared: Shared, own: dict[str, Any]) -> bool:
        """Sets both, which must be plain; False, and nothing is set, without room for them or if one would be replaced."""
        kept = self.own
        if self.shared is not None or not isinstance(kept, dict) or not self.origin.has_room:
            return False
        if kept:  # bound during the request
            if not kept.keys().isdisjoint(shared) or len(kept) + len(shared) + len(own) > MOST_PLAIN:
                return False
            own = {**kept, **own}
        self.shared, self.own = shared, own
        return True

    def update_name(self, name: str) -> None:
        if not self._warn_if_ended("rename"):
            self.name = name

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        if not self._warn_if_ended("add an event to"):
            limits = self.origin.limits
            kept = BoundedAttributes(limits.max_event_attributes, attributes, max_value_len=limits.max_attribute_length)
            self.events = _appended(self.events, limits.max_events, Event(name, kept, timestamp))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        if (context.is_valid or attributes or context.trace_state) and not self._warn_if_ended("add a link to"):
            limits = self.origin.limits
            kept = BoundedAttributes(limits.max_link_attributes, attributes, max_value_len=limits.max_attribute_length)
            self.links = _appended(self.links, limits.max_links, Link(context, kept))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        wanted = status if isinstance(status, Status) else Status(status, description)
        if wanted.description:
            wanted = Status(wanted.status_code, redact_string(wanted.description))
        is_final = self.status.status_code is StatusCode.OK
        if not self._warn_if_ended("set the status of") and not is_final and wanted.status_code is not StatusCode.UNSET:
            self.status = wanted

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        told = describe(exception)
        described = {"exception.type": told["type"], "exception.message": told["message"]}
        described |= {"exception.stacktrace": told["stack"]}
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if error is not None and self.is_recording():
            if self.records_exception:
                self.record_exception(error, escaped=True)
            if self.sets_status_on_exception:
                self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {to_string(error)}"))
        super().__exit__(kind, error, stack)

    def end(self, end_time: int | None = None) -> None:
        with self.origin.ending:
            is_first = self.end_time is None
            if is_first:
                self.end_time = time_ns() if end_time is None else end_time
        if not is_first:
            self._warn_if_ended("end")
            return
        for on_end in self.origin.on_end:
            on_end(self)

    def _warn_if_ended(self, wish: str) -> bool:
        """Whether the span has ended; if so, a warning says what cannot be done any more."""
        if self.end_time is None:
            return False
        log.warning("Cannot %s a span that has ended: %s", wish, self.name)
        return True

    def _bounded(self) -> BoundedAttributes:
        """The attributes as the SDK keeps them: cleaned, limited, and counted where they are dropped."""
        if not isinstance(self.own, BoundedAttributes):
            limits = self.origin.limits
            most, longest = limits.max_span_attributes, limits.max_span_attribute_length
            self.own = BoundedAttributes(most, self.attributes, immutable=False, max_value_len=longest)
            self.shared = None
        return self.own

    def readable(self) -> ReadableSpan:
        """The span as processors and exporters of others know it."""
        return ReadableSpan(
            name=self.name,
            context=self.get_span_context(),
            parent=self.parent,
            resource=self.origin.resource,
            attributes=self._bounded(),
            events=self.events,
            links=self.links,
            kind=self.kind,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=self.origin.scope,
        )


def identity_of(span: trace.Span) -> tuple[int, int, bool]:
    """The ids of the trace and of the span, and whether it is sampled; zeros outside of any trace."""
    if type(span) is Span:  # which makes its `SpanContext` only for those who need one
        return span.trace_id, span.span_id, span.flags & TraceFlags.SAMPLED != 0
    context = span.get_span_context()
    return context.trace_id, context.span_id, context.trace_flags.sampled


def end_with(span: trace.Span, name: str, shared: Shared, own: dict[str, Any], end_time: int) -> None:
    """Names a span of any provider, sets attributes and ends it; nothing is checked, so `own` must be plain too."""
    if not span.is_recording():
        return
    if type(span) is Span and span.set_plain(shared, own):
        span.name = name
    else:
        span.update_name(name)
        span.set_attributes({**shared, **own})
    span.end(end_time)


Item = TypeVar("Item")


def _appended(items: Sequence[Item], most: int | None, item: Item) -> Sequence[Item]:
    """The list with one more item; a full one loses its oldest and counts it."""
    if not isinstance(items, BoundedList):
        items = BoundedList(most)
    items.append(item)
    return items
