"""Spans at a fraction of the SDK's price, for what every request starts: behind the same API, to the same processors.

What makes a span of the SDK expensive is that it takes values of any type and watches limits that a request does not
reach. A `LeanSpan` keeps plain values in a plain dict, and goes on as the SDK's own does once anything else is asked of it.
*Plain* attributes are texts of at most `LONGEST_PLAIN` characters, numbers and truth values.
"""

# What is made cheaper here, the SDK keeps private; the versions are pinned.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping
from functools import partial
from random import getrandbits
from threading import Lock
from time import time_ns

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import DEFAULT_TRACE_STATE
from opentelemetry.util.types import AnyValue

# These keep every span unless the parent was not kept. Any other sampler is asked by the SDK.
KEEP_ALL = frozenset(sampler.get_description() for sampler in (ALWAYS_ON, DEFAULT_ON))
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SAMPLED_AND_RANDOM = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
UNSET = Status(StatusCode.UNSET)
DO_NOTHING = frozenset((sdk.SpanProcessor.on_start, BatchSpanProcessor.on_start, SimpleSpanProcessor.on_start))
NUMBERS = frozenset((int, bool, float))
# Under tighter limits than these the spans are the SDK's.
MOST_PLAIN, LONGEST_PLAIN = 128, 8192


class LeanTracer:
    """Starts lean spans; spans of the SDK under a sampler that chooses, and under a parent that is not sampled."""

    def __init__(self, name: str, provider: trace.TracerProvider | None = None) -> None:
        """Like `trace.get_tracer`: without a `provider` the global one is used, also one that is set later."""
        self._name = name
        self._provider = provider
        self._any = trace.get_tracer(name, tracer_provider=provider)
        self._asked: trace.TracerProvider | None = None
        self._sdk: sdk.Tracer | None = None
        self._root_flags = SAMPLED
        self._indifferent: tuple[sdk.SpanProcessor, ...] | None = None
        self._new_trace_id: Callable[[], int]
        self._new_span_id: Callable[[], int]

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AnyValue] | None = None,
    ) -> trace.Span:
        """As `Tracer.start_span` of the API; `attributes` must be plain."""
        tracer = self._sdk or self._find_sdk()
        parent = None
        if context is None or context:  # an empty one has no span
            found = trace.get_current_span(context).get_span_context()
            parent = found if found.is_valid else None
        if tracer is None or (parent is not None and not parent.trace_flags.sampled):
            return self._any.start_span(name, context, kind, attributes)
        if parent is None:
            trace_id, state, flags = self._new_trace_id(), DEFAULT_TRACE_STATE, self._root_flags
        else:
            trace_id, state = parent.trace_id, parent.trace_state
            flags = SAMPLED_AND_RANDOM if parent.trace_flags.random_trace_id else SAMPLED
        # Filled here, because each constructor on the way costs as much as all that is to be filled in.
        span = object.__new__(LeanSpan)
        span._start_time = time_ns()
        span._name = name
        span._context = tuple.__new__(SpanContext, (trace_id, self._new_span_id(), False, flags, state, True))
        span._parent = parent
        span._kind = kind
        span._resource = tracer.resource
        span._instrumentation_scope = tracer._instrumentation_scope
        span._span_processor = tracer.span_processor
        span._limits = tracer._span_limits
        span._lock = Lock()
        if type(attributes) is Shared:
            span._shared, span._own = attributes, {}
        else:
            span._shared, span._own = None, dict(attributes) if attributes else {}
        if tracer.span_processor._span_processors is not self._indifferent:
            self._announce(tracer, span, context)
        return span

    def _announce(self, tracer: sdk.Tracer, span: "LeanSpan", context: Context | None) -> None:
        """Tells the processors; of a set of them that does nothing with it, this is remembered."""
        processors = tracer.span_processor._span_processors
        if all(type(each).on_start in DO_NOTHING for each in processors):
            self._indifferent = processors
        else:
            tracer.span_processor.on_start(span, parent_context=context)

    def _find_sdk(self) -> sdk.Tracer | None:
        """The SDK's tracer of our name, once there is one that keeps every span and has room. Each provider is asked once."""
        provider = self._provider or trace.get_tracer_provider()
        if provider is not self._asked:
            self._asked = provider
            tracer = provider.get_tracer(self._name) if isinstance(provider, sdk.TracerProvider) else None
            if isinstance(tracer, sdk.Tracer) and _keeps_all(tracer) and _has_room(tracer._span_limits):
                ids = tracer.id_generator
                # The SDK's own generator does the same in more steps.
                is_own = type(ids) is RandomIdGenerator
                self._new_trace_id = partial(getrandbits, 128) if is_own else ids.generate_trace_id
                self._new_span_id = partial(getrandbits, 64) if is_own else ids.generate_span_id
                self._root_flags = SAMPLED_AND_RANDOM if ids.is_trace_id_random() else SAMPLED
                self._sdk = tracer
        return self._sdk


def _keeps_all(tracer: sdk.Tracer) -> bool:
    return tracer.sampler.get_description() in KEEP_ALL


def _has_room(limits: sdk.SpanLimits) -> bool:
    most, longest = limits.max_span_attributes, limits.max_span_attribute_length
    return (most is None or most >= MOST_PLAIN) and (longest is None or longest >= LONGEST_PLAIN)


class Shared(dict[str, AnyValue]):
    """Plain attributes that many spans have in common: one object for all of them, which never changes.

    `encoded` is for the exporter's encoder, which needs to look at them only once.
    """

    encoded: bytes = b""


def set_shared(span: trace.Span, shared: Shared, own: Mapping[str, AnyValue]) -> None:
    """As `span.set_attributes` for both; nothing is looked at, so `own` must be plain too."""
    if type(span) is not LeanSpan or not span._takes(shared, own):
        span.set_attributes({**shared, **own})


class LeanSpan(sdk.Span):
    """A span of the SDK that is made, filled and ended in fewer steps; what is not written here is the SDK's.

    Only `LeanTracer.start_span` makes one.
    """

    _record_exception = _set_status_on_exception = True
    _instrumentation_info = None
    _end_time = None
    _status = UNSET
    _events = _links = ()

    @property
    def _attributes(self) -> Mapping[str, AnyValue]:
        """All of them, for whatever the SDK does with a span and for any other exporter than ours."""
        return self._own if self._shared is None else {**self._shared, **self._own}

    @_attributes.setter
    def _attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        self._shared, self._own = None, attributes

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if type(self._own) is dict and self._end_time is None:
            if self._shared is not None and not self._shared.keys().isdisjoint(attributes):
                self._attributes = self._attributes
            number = len(self._own) + len(self._shared or ()) + len(attributes)
            if number <= MOST_PLAIN and all(map(_is_plain, attributes.values())):
                self._own.update(attributes)
                return
            limits = self._limits
            self._attributes = BoundedAttributes(
                limits.max_span_attributes,
                self._attributes,
                immutable=False,
                max_value_len=limits.max_span_attribute_length,
            )
        super().set_attributes(attributes)

    def _takes(self, shared: Shared, own: Mapping[str, AnyValue]) -> bool:
        """Adds both, if it has not ended, there is room for them and nothing to be replaced."""
        kept = self._own
        if self._end_time is not None or self._shared is not None or type(kept) is not dict:
            return False
        if not kept.keys().isdisjoint(shared) or len(kept) + len(shared) + len(own) > MOST_PLAIN:
            return False
        kept.update(own)
        self._shared = shared
        return True

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


def _is_plain(value: AnyValue) -> bool:
    return len(value) <= LONGEST_PLAIN if type(value) is str else type(value) in NUMBERS
