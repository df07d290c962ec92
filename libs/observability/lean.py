"""Spans at a fraction of the SDK's price, for what every request starts: behind the same API, to the same processors.

What makes a span of the SDK expensive is that it takes values of any type and watches limits that a request does not
reach. A `LeanSpan` keeps plain values in a plain dict, and goes on as the SDK's own does once anything else is asked of it.
"""

# What is made cheaper here, the SDK keeps private; the versions are pinned.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import sys
from collections.abc import Mapping
from functools import cache
from threading import Lock
from time import time_ns

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AnyValue

# These keep every span unless the parent was not kept. Any other sampler is asked by the SDK.
KEEP_ALL = frozenset(sampler.get_description() for sampler in (ALWAYS_ON, DEFAULT_ON))
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SAMPLED_AND_RANDOM = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
UNSET = Status(StatusCode.UNSET)
NUMBERS = frozenset((int, bool, float))


class LeanTracer:
    """Starts lean spans; spans of the SDK under a sampler that chooses, and under a parent that is not sampled."""

    def __init__(self, name: str, provider: trace.TracerProvider | None = None) -> None:
        """Like `trace.get_tracer`: without a `provider` the global one is used, also one that is set later."""
        self._name = name
        self._provider = provider
        self._any = trace.get_tracer(name, tracer_provider=provider)
        self._asked: trace.TracerProvider | None = None
        self._sdk: sdk.Tracer | None = None

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AnyValue] | None = None,
    ) -> trace.Span:
        """As `Tracer.start_span` of the API."""
        tracer = self._sdk or self._find_sdk()
        parent = trace.get_current_span(context).get_span_context()
        if tracer is None or (parent.is_valid and not parent.trace_flags.sampled):
            return self._any.start_span(name, context, kind, attributes)
        ids = tracer.id_generator
        if parent.is_valid:
            trace_id, state, is_random = parent.trace_id, parent.trace_state, parent.trace_flags.random_trace_id
        else:
            trace_id, state, is_random = ids.generate_trace_id(), None, ids.is_trace_id_random()
        flags = SAMPLED_AND_RANDOM if is_random else SAMPLED
        own = SpanContext(trace_id, ids.generate_span_id(), False, flags, state)
        span = LeanSpan(tracer, name, own, parent if parent.is_valid else None, kind, attributes)
        tracer.span_processor.on_start(span, parent_context=context)
        return span

    def _find_sdk(self) -> sdk.Tracer | None:
        """The SDK's tracer of our name, once there is one and it keeps every span. Each provider is asked once."""
        provider = self._provider or trace.get_tracer_provider()
        if provider is not self._asked:
            self._asked = provider
            tracer = provider.get_tracer(self._name) if isinstance(provider, sdk.TracerProvider) else None
            if isinstance(tracer, sdk.Tracer) and tracer.sampler.get_description() in KEEP_ALL:
                self._sdk = tracer
        return self._sdk


class LeanSpan(sdk.Span):
    """A span of the SDK that is made, filled and ended in fewer steps; what is not written here is the SDK's."""

    _record_exception = _set_status_on_exception = True
    _instrumentation_info = None
    _end_time = None
    _status = UNSET
    _events = _links = ()

    def __init__(
        self,
        tracer: sdk.Tracer,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, AnyValue] | None,
    ) -> None:
        """Instead of the SDK's, not on top of it: that one costs more than all the rest."""
        self._start_time = time_ns()
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._resource = tracer.resource
        self._instrumentation_scope = tracer._instrumentation_scope
        self._span_processor = tracer.span_processor
        self._limits = tracer._span_limits
        self._most, self._longest = _bounds(self._limits)
        self._lock = Lock()
        self._attributes = {}
        if attributes:
            self.set_attributes(attributes)

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        kept = self._attributes
        if type(kept) is dict and self._end_time is None:
            if len(kept) + len(attributes) <= self._most and _are_plain(attributes, self._longest):
                kept.update(attributes)
                return
            limits = self._limits
            self._attributes = BoundedAttributes(
                limits.max_span_attributes, kept, immutable=False, max_value_len=limits.max_span_attribute_length
            )
        super().set_attributes(attributes)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        self.set_attributes({key: value})

    def update_name(self, name: str) -> None:
        if self._end_time is None:
            self._name = name

    def _add_event(self, event: sdk.EventBase) -> None:
        self._events = self._events or self._new_events()
        super()._add_event(event)

    def _add_link(self, link: Link) -> None:
        self._links = self._links or self._new_links(())
        super()._add_link(link)

    def end(self, end_time: int | None = None) -> None:
        """Ends it; a span that has ended is its own readable copy, for nothing can be added to it any more."""
        with self._lock:
            if self._end_time is not None:
                return
            self._end_time = time_ns() if end_time is None else end_time
        self._span_processor.on_end(self)


def _are_plain(attributes: Mapping[str, AnyValue], longest: int) -> bool:
    for value in attributes.values():
        if type(value) is str:
            if len(value) > longest:
                return False
        elif type(value) not in NUMBERS:
            return False
    return True


@cache
def _bounds(limits: sdk.SpanLimits) -> tuple[int, int]:
    """How many attributes, and how long a text; no limit is a very large one."""
    most, longest = limits.max_span_attributes, limits.max_span_attribute_length
    return sys.maxsize if most is None else most, sys.maxsize if longest is None else longest
