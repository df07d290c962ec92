"""One page of /metrics: fetched, and what the page shows of a service taken out of it."""

import http.client
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from page.reading.openmetrics import Sample, samples

ANSWER_SECONDS = 3.0
LONGEST_PAGE = 8 * 1024 * 1024
ACCEPTED = {"Accept": "application/openmetrics-text; version=1.0.0"}
REQUESTS, DURATIONS, LAG = (
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "event_loop_lag_seconds_bucket",
)
STARTED, LOGINS = "process_start_time_seconds", "auth_login_total"
# What is shown as it is: all samples of the name, in which the label has the value, added up.
SUMS = {
    "memory": ("process_resident_memory_bytes", "", ""),
    "pool_used": ("db_pool_connections", "state", "in_use"),
    "pool_size": ("db_pool_limit", "", ""),
    "waiting": ("outbox_unsent_rows", "", ""),
    "dead": ("events_dead_total", "", ""),
}
NAMES = (REQUESTS, DURATIONS, LAG, STARTED, LOGINS, *(name for name, *_ in SUMS.values()))


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One request that stands for others: how long it took, and its trace."""

    time: float
    seconds: float
    trace_id: str
    route: str
    """Method and route: `GET /users/{user_id}`."""


@dataclass
class Scrape:
    """What one page says. Of a histogram: the bounds without the infinite one, and what is in each bucket alone."""

    requests: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """By method and route: all requests, and those answered with 5xx."""
    durations: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    duration_bounds: list[float] = field(default_factory=list[float])
    lag: list[float] = field(default_factory=list[float])
    lag_bounds: list[float] = field(default_factory=list[float])
    sums: dict[str, float] = field(default_factory=dict[str, float])
    logins: dict[str, float] = field(default_factory=dict[str, float])
    exemplars: list[Exemplar] = field(default_factory=list[Exemplar])
    started: float | None = None


def fetch(port: int) -> tuple[str, Scrape]:
    """The page, and what is shown of it; `OSError` or `HTTPException` if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/metrics", headers=ACCEPTED)
        response = connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"it answers {response.status}")
        page = response.read(LONGEST_PAGE).decode(errors="replace")
    finally:
        connection.close()
    return page, read(page)


def read(page: str) -> Scrape:
    """What is shown of a page."""
    found = Scrape()
    durations: dict[str, dict[float, float]] = {}
    lag: dict[float, float] = {}
    for sample in samples(page, *NAMES):
        labels, value = sample.labels, sample.value
        route = f"{labels.get('method', '')} {labels.get('handler', '')}"
        if sample.name == REQUESTS:
            counts = found.requests.setdefault(route, [0.0, 0.0])
            counts[0] += value
            counts[1] += value if labels.get("status") == "5xx" else 0.0
        elif sample.name == DURATIONS:
            durations.setdefault(route, {})[_bound(sample)] = value
            if shown := sample.exemplar:
                found.exemplars.append(Exemplar(shown.time, shown.value, shown.trace_id, route))
        elif sample.name == LAG:
            lag[_bound(sample)] = value
        elif sample.name == LOGINS:
            found.logins[labels.get("status", "")] = value
        elif sample.name == STARTED:
            found.started = value
        for what, (name, label, wanted) in SUMS.items():
            if sample.name == name and labels.get(label, "") == wanted:
                found.sums[what] = found.sums.get(what, 0.0) + value
    for route, buckets in durations.items():
        found.duration_bounds, found.durations[route] = _buckets(buckets)
    found.lag_bounds, found.lag = _buckets(lag)
    return found


def _bound(sample: Sample) -> float:
    try:
        return float(sample.labels.get("le", "inf"))
    except ValueError:  # whatever answers there is none of the services
        return math.inf


def _buckets(cumulative: Mapping[float, float]) -> tuple[list[float], list[float]]:
    """The bounds, and what is in each bucket alone."""
    bounds = sorted(cumulative)
    counts = [
        cumulative[bound] - cumulative.get(below, 0.0) for below, bound in zip([-1.0, *bounds], bounds, strict=False)
    ]
    return bounds[:-1], counts
