"""Spans on their way to an exporter: a bounded queue that counts what it loses and stops within seconds."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import TraceFlags

from ..ending import finish_within
from ..forks import in_child
from ..metrics.families import SPANS_DROPPED, SPANS_EXPORTED
from .spans import Span

log = logging.getLogger(__name__)

SAMPLED = TraceFlags.SAMPLED

# Holds four seconds of 2,000 spans a second.
QUEUE_SIZE = 8192
# A request to the collector costs as much as a thousand spans, so a batch is as large as this, or a quarter of the
# queue, unless OTEL_BSP_MAX_EXPORT_BATCH_SIZE says otherwise.
LARGEST_BATCH = 2048
SCHEDULE_DELAY_MS = 1000
FLUSH_SECONDS = 4.0
# How long the exporter may go on trying, and then the request that is under way: at the end of the process, and when
# a flush has just shown that the collector accepts nothing.
STOP_SECONDS, JOIN_SECONDS = 3.0, 2.0
STUCK_STOP_SECONDS, STUCK_JOIN_SECONDS = 0.1, 0.5


class SpanQueue:
    """Exports spans in batches from a thread, by the variables `OTEL_BSP_*`, and never loses one uncounted.

    When the queue is full the new span is dropped: the older ones are nearer to the cause. `shutdown` returns within
    some five seconds whatever the collector does.
    """

    def __init__(self, exporter: SpanExporter, prepare: Callable[[Span], Any] = Span.readable) -> None:
        """`prepare` turns a span, as it ends, into what waits in its place and is given to the exporter."""
        self._exporter = exporter
        self._prepare = prepare
        self._limit = positive_integer_variable("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE)
        batch = positive_integer_variable(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(LARGEST_BATCH, max(1, self._limit // 4))
        )
        self._batch_size = min(batch, self._limit)
        self._delay_seconds = positive_integer_variable("OTEL_BSP_SCHEDULE_DELAY", SCHEDULE_DELAY_MS) / 1000
        self._stopping = self._stuck = False
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        """Begins with an empty queue: what waited before a fork is the parent's."""
        self._waiting: deque[Any] = deque()
        self._stopped = self._stopping
        self._under_way = 0
        self._counting, self._exporting = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="span-exporter", daemon=True)
        if not self._stopping:
            self._thread.start()

    def put(self, span: Span) -> None:
        """Takes a span that has ended. Never raises and never waits."""
        waiting = self._waiting
        if not span.flags & SAMPLED:
            return
        if self._stopping:
            SPANS_DROPPED.labels("shutdown").inc()
        elif len(waiting) >= self._limit:
            SPANS_DROPPED.labels("queue_full").inc()
        else:
            try:
                waiting.append(self._prepare(span))
            except Exception as error:
                log.warning("a span cannot be encoded", extra={"reason": f"{type(error).__name__}: {error}"})
                SPANS_DROPPED.labels("export_failed").inc()
                return
            if self._stopped:  # while the span was encoded
                SPANS_DROPPED.labels("shutdown").inc(len(self._take()))
            elif len(waiting) >= self._batch_size and not self._wake.is_set():
                self._wake.set()

    def _work(self) -> None:
        while not self._stopping:
            is_full = self._wake.wait(self._delay_seconds)
            self._wake.clear()
            self._export(self._batch_size if is_full else 1)
        self._export(1)

    def _export(self, least: int) -> None:
        """Exports batches as long as at least so many spans wait."""
        with self._exporting:
            while len(self._waiting) >= least:
                with self._counting:
                    batch = self._take(self._batch_size)
                    self._under_way = len(batch)
                if batch:
                    self._count(self._send(batch))

    def _take(self, most: float = inf) -> list[Any]:
        """Takes the oldest that wait, which the caller has to count; other threads may take some meanwhile."""
        taken: list[Any] = []
        with suppress(IndexError):
            while len(taken) < most:
                taken.append(self._waiting.popleft())
        return taken

    def _send(self, batch: list[Any]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:
            log.warning("spans cannot be exported", extra={"reason": f"{type(error).__name__}: {error}"})
            return False

    def _stop_exporter(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception as error:
            log.warning("an exporter cannot be stopped", extra={"reason": f"{type(error).__name__}: {error}"})

    def _count(self, is_exported: bool) -> None:
        """Counts the batch under way, unless `shutdown` has given it up and counted it."""
        with self._counting:
            count, self._under_way = self._under_way, 0
        if is_exported:
            SPANS_EXPORTED.inc(count)
        else:
            SPANS_DROPPED.labels("export_failed").inc(count)

    def force_flush(self, timeout_millis: float = FLUSH_SECONDS * 1000) -> bool:
        """Exports what is queued; False when that takes longer than the timeout."""
        self._stuck = not finish_within(timeout_millis / 1000, partial(self._export, 1))
        return not self._stuck

    def begin_shutdown(self) -> None:
        """Takes no more spans and begins to export what is queued; `shutdown` waits for that."""
        if self._stopping:
            return
        patience, join = (STUCK_STOP_SECONDS, STUCK_JOIN_SECONDS) if self._stuck else (STOP_SECONDS, JOIN_SECONDS)
        self._deadline = monotonic() + patience + join
        # Ends the pause between two attempts of the exporter, so that the worker can finish.
        self._stop = threading.Timer(patience, self._stop_exporter)
        self._stop.daemon = True
        with suppress(RuntimeError):  # an interpreter that is ending may start no thread any more
            self._stop.start()
        self._stopping = True
        self._wake.set()

    def shutdown(self) -> None:
        """Exports what is queued, within the time that is left for it, and counts the rest as lost."""
        if self._stopped:
            return
        self.begin_shutdown()
        self._thread.join(max(0.0, self._deadline - monotonic()))
        self._stop.cancel()
        if not self._thread.is_alive():
            self._stop_exporter()
        # What `put` appended before this is taken below, and what it appends later by `put`.
        self._stopped = True
        with self._counting:
            lost, self._under_way = self._under_way, 0
            lost += len(self._take())
        SPANS_DROPPED.labels("shutdown").inc(lost)


def positive_integer_variable(name: str, default: int) -> int:
    """A positive whole number; what is none counts as not set, and is one warning."""
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        log.warning("a variable must be a positive whole number", extra={"variable": name, "used_instead": default})
        return default
    return number
