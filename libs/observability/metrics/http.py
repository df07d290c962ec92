"""How many requests, how long and which traces show it: the HTTP families, counted in one place for each request.

prometheus_client keeps a lock for each number and checks the labels of each exemplar again: a counter and a histogram with
exemplars cost 3 microseconds a request, 5 in between other work; this costs 0.6. What is left to the library is what happens
once a scrape: the families and their two formats.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

from opentelemetry.trace import format_trace_id
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

from ..forks import in_child
from .names import FirstNames

# From a cached read to the longest wait of a user; the service levels are measured at 0.25, 0.5 and 1 second.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BOUNDS = (*(str(bound) for bound in DURATION_BUCKETS), "+Inf")

# Of the status groups that a route can answer with; nobody watches redirects.
DECLARED_GROUPS = (2, 4, 5)
OTHER = "_OTHER"
"""Stands for any method or type of problem that is not among the known ones."""

RawExemplar = tuple[int, float, float]
"""An exemplar before it is shown: the trace id, duration and end of one request."""


class Series:
    """The requests of one route, method and group of statuses."""

    __slots__ = ("counts", "seconds", "shown")

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        self.seconds = 0.0
        self.shown: list[RawExemplar | None] = [None] * len(BOUNDS)

    def add(self, other: "Series") -> None:
        """Adds up two series."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds
        self.shown = [latest(pair) for pair in zip(self.shown, other.shown, strict=True)]


class HttpMetrics:
    """The HTTP families under the names, labels and grouping of prometheus-fastapi-instrumentator, and `http_problems_total`.

    A counter whose first sample is not 0 hides its first events from `rate` and `increase`, and a route's first failures
    are those that matter. So the series of routes that are known are there from the start (`declare`).
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._problems = Counter(
            "http_problems_total",
            "Requests that were refused or failed, by handler and type of problem.",
            ("handler", "type"),
            registry=registry,
        )
        self._types = FirstNames(OTHER)
        # Bounded by the route templates, the known methods and the status groups.
        self._series: dict[tuple[str, str, int], Series] = {}
        self._renew_lock()
        in_child(self._renew_lock)
        registry.register(self)

    def _renew_lock(self) -> None:
        """After a fork too, at which another thread of the parent may have held it."""
        self._lock = Lock()

    def series(self, handler: str, method: str, status: int) -> Series:
        """Where requests of this kind are counted."""
        with self._lock:
            return self._series.setdefault((handler, method, status // 100), Series())

    def declare(self, handler: str, method: str, problems: Iterable[str] = ()) -> None:
        """Shows a route at 0 before its first request, with each of its problems."""
        for group in DECLARED_GROUPS:
            self.series(handler, method, group * 100)
        for each in problems:
            self.problem(handler, each)

    def problem(self, handler: str, code: str) -> Counter:
        """Where problems of this type are counted; those of a program that invents ever more types, together."""
        return self._problems.labels(handler, self._types(code))

    def observe(self, series: Series, seconds: float, ended_at: float, trace_id: int | None) -> None:
        """Counts a request that was answered at `ended_at` (seconds since 1970) after `seconds`.

        `trace_id` is that of its trace if that is sampled, for the exemplars.
        """
        bucket = bisect_left(DURATION_BUCKETS, seconds)
        with self._lock:
            series.counts[bucket] += 1
            series.seconds += seconds
            if trace_id is not None:
                series.shown[bucket] = (trace_id, seconds, ended_at)

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        requests = CounterMetricFamily(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            labels=("handler", "method", "status"),
        )
        duration = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Duration of requests until the last byte of the answer, in seconds.",
            labels=("handler", "method"),
        )
        routes: dict[tuple[str, str], Series] = {}
        with self._lock:
            for (handler, method, group), series in self._series.items():
                shown = latest(series.shown)
                exemplar = _exemplar((shown[0], 1.0, shown[2])) if shown else None
                requests.add_metric((handler, method, f"{group}xx"), sum(series.counts), exemplar=exemplar)
                routes.setdefault((handler, method), Series()).add(series)
        for labels, series in routes.items():
            duration.add_metric(labels, _buckets(series), series.seconds)
        yield requests
        yield duration


def latest(seen: "tuple[RawExemplar | None, ...] | list[RawExemplar | None]") -> RawExemplar | None:
    """The one that ended last."""
    return max(filter(None, seen), key=lambda each: each[2], default=None)


def _buckets(series: Series) -> list[tuple[str, float, Any]]:
    """The cumulative count of each bucket."""
    total = 0
    buckets: list[tuple[str, float, Any]] = []
    for bound, count, shown in zip(BOUNDS, series.counts, series.shown, strict=True):
        total += count
        buckets.append((bound, total, _exemplar(shown) if shown else None))
    return buckets


def _exemplar(seen: RawExemplar) -> Exemplar:
    trace_id, value, ended_at = seen
    return Exemplar({"trace_id": format_trace_id(trace_id)}, value, ended_at)
