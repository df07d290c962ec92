"""The tracer provider: which spans are recorded, and who gets them when they end."""

import inspect
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial, wraps
from random import getrandbits
from threading import Lock
from time import time_ns
from types import TracebackType
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from ..ending import side_by_side
from ..forks import in_child
from .attributes import Shared, has_room
from .queue import SpanQueue
from .spans import NO_STATE, Origin, Span

log = logging.getLogger(__name__)

# These record every span unless its parent was not sampled. Any other sampler is asked about each span.
KEEP_ALL = frozenset(sampler.get_description() for sampler in (ALWAYS_ON, DEFAULT_ON))
SAMPLED, RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
FLAGS = {flags: TraceFlags(flags) for flags in (0, SAMPLED, RANDOM, SAMPLED | RANDOM)}
NATIVE = "fastapi"
"""The name of the tracer by which FastAPI would record a second span for each request."""


class Provider(trace.TracerProvider):
    """Our own `TracerProvider`. Its spans go to `queues` as they are, and to added processors as the SDK's."""

    def __init__(
        self,
        resource: Resource,
        *,
        sampler: Sampler = DEFAULT_ON,
        ids: IdGenerator | None = None,
        limits: SpanLimits | None = None,
        queues: Sequence[SpanQueue] = (),
    ) -> None:
        self.resource = resource
        self.sampler = sampler
        self.ids = ids or RandomIdGenerator()
        self.limits = limits or SpanLimits()
        self._queues = tuple(queues)
        self._on_end: list[Callable[[Span], None]] = [queue.put for queue in queues]
        self.processors: tuple[SpanProcessor, ...] = ()
        self._tracers: dict[InstrumentationScope, Tracer] = {}
        in_child(self._become_another_instance)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> trace.Tracer:
        if instrumenting_module_name == NATIVE:
            log.warning(
                "FastAPI's own telemetry is on and costs more than ours: "
                "create the app with telemetry={'tracing': False, 'metrics': False, 'logs': False}"
            )
            return trace.NoOpTracer()
        scope = InstrumentationScope(
            instrumenting_module_name, instrumenting_library_version or "", schema_url, attributes
        )
        tracer = self._tracers.get(scope)
        if tracer is None:
            origin = Origin(self.resource, scope, self.limits, self._on_end, has_room(self.limits))
            tracer = self._tracers[scope] = Tracer(self, origin)
        return tracer

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Lets a processor see every span from now on: when it starts as a `Span`, when it ends as a `ReadableSpan`."""
        self.processors += (processor,)
        self._on_end.append(lambda span: processor.on_end(span.readable()))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Exports what waits, of all queues and processors side by side; False if that was not done within the time."""
        everyone = (*self._queues, *self.processors)
        flushed: list[SpanQueue | SpanProcessor] = []

        def flush(each: SpanQueue | SpanProcessor) -> None:
            if each.force_flush(timeout_millis):
                flushed.append(each)

        side_by_side(*[partial(flush, each) for each in everyone])
        return len(flushed) == len(everyone)

    def shutdown(self) -> None:
        """Exports what waits and stops; the queues have the same few seconds. Spans that end later are dropped and counted."""
        for queue in self._queues:
            queue.begin_shutdown()
        for each in (*self._queues, *self.processors):
            each.shutdown()

    def _become_another_instance(self) -> None:
        """A forked process is another instance of the service."""
        self.resource = self.resource.merge(Resource({"service.instance.id": str(uuid.uuid4())}))
        for tracer in self._tracers.values():
            tracer.origin.resource, tracer.origin.ending = self.resource, Lock()


class Tracer(trace.Tracer):
    """Starts spans for one library."""

    def __init__(self, provider: Provider, origin: Origin) -> None:
        self._provider = provider
        self.origin = origin
        self._keeps_all = provider.sampler.get_description() in KEEP_ALL
        ids = provider.ids
        # The SDK's own generator does the same in more steps.
        is_plain = type(ids) is RandomIdGenerator
        self._new_trace_id = partial(getrandbits, 128) if is_plain else ids.generate_trace_id
        self._new_span_id = partial(getrandbits, 64) if is_plain else ids.generate_span_id
        self._root_flags = FLAGS[SAMPLED | (RANDOM if ids.is_trace_id_random() else 0)]

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        parent = None
        if context is None or context:  # an empty one has no span
            found = trace.get_current_span(context).get_span_context()
            parent = found if found.is_valid else None
        began = time_ns() if start_time is None else start_time
        if parent is None and self._keeps_all:
            span = Span(name, kind, self._new_trace_id(), self._new_span_id(), self._root_flags, began, self.origin)
        else:
            identity, attributes, is_recording = self._sample(parent, context, name, kind, attributes, links)
            if not is_recording:
                return NonRecordingSpan(identity)
            flags = FLAGS[identity.trace_flags]
            span = Span(name, kind, identity.trace_id, identity.span_id, flags, began, self.origin)
            span.parent, span.state = parent, identity.trace_state
        if type(attributes) is Shared and self.origin.has_room:
            span.shared = attributes
        elif attributes:
            span.set_attributes(attributes)
        for link in links or ():
            span.add_link(link.context, link.attributes)
        if not (record_exception and set_status_on_exception):
            span.records_exception, span.sets_status_on_exception = record_exception, set_status_on_exception
        for processor in self._provider.processors:
            processor.on_start(span, parent_context=context)  # pyright: ignore[reportArgumentType]  # not the SDK's span
        return span

    def _sample(
        self,
        parent: SpanContext | None,
        context: Context | None,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[Link] | None,
    ) -> tuple[SpanContext, Mapping[str, Any] | None, bool]:
        """The identity of a new span, its attributes, and whether it is recorded."""
        trace_id = parent.trace_id if parent else self._new_trace_id()
        flags = (parent.trace_flags if parent else self._root_flags) & RANDOM
        if self._keeps_all and parent and parent.trace_flags & SAMPLED:
            state, is_recording, flags = parent.trace_state, True, flags | SAMPLED
        else:
            result = self._provider.sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
            state, is_recording = result.trace_state or NO_STATE, result.decision.is_recording()
            flags |= SAMPLED if result.decision.is_sampled() else 0
            attributes = cast("Mapping[str, Any]", result.attributes)
        return SpanContext(trace_id, self._new_span_id(), False, FLAGS[flags], state), attributes, is_recording

    def start_as_current_span(  # pyright: ignore[reportIncompatibleMethodOverride]  # the API returns a private class
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> "CurrentSpan":
        """A context manager, and a decorator of functions and coroutine functions."""
        on_exception = (record_exception, set_status_on_exception)

        def enter() -> AbstractContextManager[trace.Span]:
            span = self.start_span(name, context, kind, attributes, links, start_time, *on_exception)
            return trace.use_span(span, end_on_exit, *on_exception)

        return CurrentSpan(enter)


class CurrentSpan(AbstractContextManager[trace.Span, None]):
    """A span that is the current one inside of `with`, or during each call of the function that this decorates."""

    def __init__(self, start: Callable[[], AbstractContextManager[trace.Span]]) -> None:
        self._start = start

    def __enter__(self) -> trace.Span:
        self._entered = self._start()
        return self._entered.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._entered.__exit__(kind, error, stack)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def traced_coroutine(*given: Any, **more: Any) -> Any:
            with self._start():
                return await function(*given, **more)

        def traced(*given: Any, **more: Any) -> Any:
            with self._start():
                return function(*given, **more)

        is_coroutine = inspect.iscoroutinefunction(function)
        return wraps(function)(traced_coroutine if is_coroutine else traced)
