"""What the process is busy with: requests in flight, threads, pauses of the garbage collector, lines, exceptions.

A finalizer may run in the middle of any counting, on the same thread, and count as well: it may log a line, for example. The
locks of prometheus_client are not reentrant, so the thread would wait for itself for ever. Lines and pauses are therefore
counted by classes of our own.
"""

import gc
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from threading import RLock
from time import perf_counter
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from ..forks import in_child
from ..settings import LEVELS
from .names import FirstNames

GC_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)

EXCEPTIONS = Counter(
    "http_exceptions_total", "Requests that ended with an unexpected exception, by its type.", ("type",)
)
THREADS = Gauge("thread_pool_threads", "Threads of the pool for synchronous endpoints that are in use.")
THREADS_LIMIT = Gauge("thread_pool_limit", "Threads that the pool may use at most.")
THREADS_WAITING = Gauge("thread_pool_pending_requests", "Who is waiting for a thread of the pool.")

_known = FirstNames("other")


class InFlight:
    """How many requests are being handled now, without the quiet ones. It needs no lock, since only event loops count."""

    requests = 0

    def __init__(self) -> None:
        in_child(self._forget)
        gauge = Gauge("http_requests_inprogress", "Number of HTTP requests in progress.")
        gauge.set_function(lambda: self.requests)

    def _forget(self) -> None:
        self.requests = 0


class Lines:
    """How many lines have been written, by level."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys(LEVELS, 0)
        self._renew()
        in_child(self._renew)
        REGISTRY.register(self)

    def _renew(self) -> None:
        self._lock = RLock()

    def count(self, levels: Iterable[str]) -> None:
        """Counts lines of these levels."""
        with self._lock:
            for level in levels:
                self._counts[level] += 1

    def collect(self) -> Iterator[Metric]:
        """The family as it is now."""
        family = CounterMetricFamily(
            "log_lines_written_total",
            "Log lines for the files, those included that were dropped later.",
            labels=("level",),
        )
        for level, count in self._counts.items():
            family.add_metric((level,), count)
        yield family


class Pauses:
    """How long the garbage collector held the process up, by generation."""

    def __init__(self) -> None:
        self._counts = [[0] * (len(GC_BUCKETS) + 1) for _ in range(3)]
        self._seconds = [0.0] * 3
        self._began = 0.0
        REGISTRY.register(self)

    def note(self, phase: str, info: Mapping[str, Any]) -> None:
        """The callback of the collector, which never runs twice at the same time."""
        if phase == "start":
            self._began = perf_counter()
            return
        seconds, generation = perf_counter() - self._began, info["generation"]
        self._counts[generation][bisect_left(GC_BUCKETS, seconds)] += 1
        self._seconds[generation] += seconds

    def collect(self) -> Iterator[Metric]:
        """The family as it is now."""
        family = HistogramMetricFamily(
            "python_gc_pause_seconds",
            "How long the garbage collector held the process up, in seconds.",
            labels=("generation",),
        )
        for generation, counts in enumerate(self._counts):
            bounds = [*map(str, GC_BUCKETS), "+Inf"]
            buckets = [(bound, float(sum(counts[: index + 1]))) for index, bound in enumerate(bounds)]
            family.add_metric((str(generation),), buckets, self._seconds[generation])
        yield family


IN_FLIGHT, LINES, PAUSES = InFlight(), Lines(), Pauses()


def measure_pauses() -> None:
    """Measures each collection from now on."""
    if PAUSES.note not in gc.callbacks:
        gc.callbacks.append(PAUSES.note)


def show_threads() -> None:
    """Shows the pool of threads of the running event loop."""
    limiter = current_default_thread_limiter()
    THREADS.set_function(lambda: limiter.borrowed_tokens)
    THREADS_LIMIT.set_function(lambda: limiter.total_tokens)
    THREADS_WAITING.set_function(lambda: limiter.statistics().tasks_waiting)


def count_exception(kind: str) -> None:
    """Counts an exception by its type. Only the first hundred types are named; later ones count as `other`."""
    EXCEPTIONS.labels(_known(kind)).inc()
