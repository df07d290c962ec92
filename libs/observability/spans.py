"""Spans on their way to an exporter: a bounded queue that counts what it loses and stops within seconds."""

# What is bounded here, the SDK keeps private; the versions are pinned.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_EXPORT_BATCH_SIZE
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import TraceFlags

from libs.observability.metrics import SPANS_DROPPED, SPANS_EXPORTED

_log = logging.getLogger(__name__)

# A batch costs as much as some three hundred spans, and while it is put together requests wait. Without
# OTEL_BSP_MAX_EXPORT_BATCH_SIZE it is this, or a quarter of the queue.
LARGEST_BATCH = 1024
# Threads that find the queue almost full at the same moment may all still add one.
HEADROOM = 64
FLUSH_SECONDS = 4.0
# How long the exporter may go on trying, and then the request that is under way: at the end of the process, and when
# a flush has just shown that the collector does not take anything.
STOP_SECONDS, JOIN_SECONDS = 3.0, 2.0
STUCK_STOP_SECONDS, STUCK_JOIN_SECONDS = 0.1, 0.5


class CountedExporter(SpanExporter):
    """Counts each batch of another exporter as exported or dropped, whether it answers, fails, raises or hangs."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._under_way = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._under_way = len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            _log.warning("spans cannot be exported", extra={"reason": f"{type(error).__name__}: {error}"})
            result = SpanExportResult.FAILURE
        with self._lock:
            count, self._under_way = self._under_way, 0
        if result is SpanExportResult.SUCCESS:
            SPANS_EXPORTED.inc(count)
        else:
            SPANS_DROPPED.labels("export_failed").inc(count)
        return result

    def abandon(self) -> int:
        """The spans of a batch whose end nobody waits for any more; it will not be counted again."""
        with self._lock:
            count, self._under_way = self._under_way, 0
        return count

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _itself(span: ReadableSpan) -> ReadableSpan:
    return span


class BoundedBatch(BatchSpanProcessor):
    """The SDK's batch processor, with the `OTEL_BSP_*` variables, that never loses a span unnoticed.

    When the queue is full the new span is dropped: the older ones are nearer to the cause. `shutdown` returns within
    some five seconds whatever the collector does.
    """

    def __init__(self, span_exporter: SpanExporter, prepare: Callable[[ReadableSpan], Any] = _itself) -> None:
        """`prepare` makes of a span, as it ends, what waits in its place and is given to the exporter."""
        self._prepare = prepare
        self._limit = BatchSpanProcessor._default_max_queue_size()
        self._exporter = CountedExporter(span_exporter)
        self._stuck = False
        given = os.environ.get(OTEL_BSP_MAX_EXPORT_BATCH_SIZE)
        size = int(given) if given else min(LARGEST_BATCH, max(1, self._limit // 4))
        size = min(size, self._limit + HEADROOM)
        super().__init__(self._exporter, max_queue_size=self._limit + HEADROOM, max_export_batch_size=size)

    def on_end(self, span: ReadableSpan) -> None:
        if not (span._context and span._context.trace_flags & TraceFlags.SAMPLED):
            return
        batch = self._batch_processor
        waiting = len(batch._queue)
        if batch._shutdown:
            SPANS_DROPPED.labels("shutdown").inc()
        elif waiting >= self._limit:
            SPANS_DROPPED.labels("queue_full").inc()
        else:
            # As its `emit` does, which looks at more that cannot be the case here.
            try:
                batch._queue.appendleft(self._prepare(span))
            except Exception as error:  # a span that cannot be encoded must not fail who ends it
                _log.warning("a span cannot be encoded", extra={"reason": f"{type(error).__name__}: {error}"})
                SPANS_DROPPED.labels("export_failed").inc()
                return
            if waiting + 1 >= batch._max_export_batch_size and not batch._worker_awaken.is_set():
                batch._worker_awaken.set()

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Exports what is queued; False when that takes longer than the timeout (4 seconds when none is given)."""
        # A daemon thread, since an exporter that hangs must not hold up the end of the process.
        flusher = threading.Thread(target=self._batch_processor.force_flush, daemon=True)
        flusher.start()
        flusher.join(FLUSH_SECONDS if timeout_millis is None else timeout_millis / 1000)
        self._stuck = flusher.is_alive()
        return not self._stuck

    def shutdown(self) -> None:
        batch = self._batch_processor
        if batch._shutdown:
            return
        patience, join = (STUCK_STOP_SECONDS, STUCK_JOIN_SECONDS) if self._stuck else (STOP_SECONDS, JOIN_SECONDS)
        # Ends the pause between two attempts of the exporter, so that the worker comes to its end.
        stop = threading.Timer(patience, self._exporter.shutdown)
        stop.daemon = True
        stop.start()
        batch.shutdown(int((patience + join) * 1000))
        stop.cancel()
        if lost := self._exporter.abandon() + len(batch._queue):
            SPANS_DROPPED.labels("shutdown").inc(lost)
            batch._queue.clear()
