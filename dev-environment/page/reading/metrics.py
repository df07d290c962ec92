"""What the services' metrics say now and have said in the last hour: rates and quantiles between two scrapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

What = Literal["rate", "error_ratio", "p50", "p95", "memory", "lag", "pool", "waiting"]
RouteWhat = Literal["rate", "error_ratio", "p50", "p95"]
Point = tuple[float, float]
"""Seconds since 1970, and a value."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One request that stands for others: how long it took, and its trace."""

    time: float
    seconds: float
    trace_id: str
    route: str
    """Method and route: `GET /users/{user_id}`."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A service now. None: not known, such as a quantile without requests, or anything of a service that is down."""

    rate: float | None = None
    """Requests a second."""
    error_ratio: float | None = None
    """The part of the requests that was answered with 5xx."""
    p50: float | None = None
    p95: float | None = None
    memory: float | None = None
    """In bytes; None on macOS, which does not tell."""
    lag: float | None = None
    """How late the event loop was, in seconds, at its 95th percentile."""
    pool_used: float | None = None
    pool_size: float | None = None
    waiting: float | None = None
    """Events in the outbox."""
    dead: float | None = None
    """Events given up since the start of the process."""
    logins: Mapping[str, float] = field(default_factory=dict[str, float])
    """By outcome, since the start of the process; only of auth."""


@dataclass(frozen=True, slots=True)
class RouteNumbers:
    """A method and route now; `count` is since the start of the process."""

    route: str
    rate: float | None
    error_ratio: float | None
    p50: float | None
    p95: float | None
    count: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a family."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all of its samples at the last scrape."""

    name: str
    type: str
    unit: str
    help: str
    samples: tuple[Sample, ...]


class Metrics:
    """Scrapes every service, and keeps an hour of what the page draws."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """`ports` of /metrics by service."""

    def look(self) -> None:
        """Somebody looks: for ten seconds from now, scrapes come more often."""
        raise NotImplementedError

    def numbers(self, service: str) -> Numbers:
        """A service now."""
        raise NotImplementedError

    def history(self, service: str, what: What) -> list[Point]:
        """A number of the service over the last hour, the oldest first; scrapes at which it was not known are left out."""
        raise NotImplementedError

    def routes(self, service: str) -> list[RouteNumbers]:
        """Every route, the busiest first."""
        raise NotImplementedError

    def route_history(self, service: str, route: str, what: RouteWhat) -> list[Point]:
        """The same of one route, as `routes` names it."""
        raise NotImplementedError

    def exemplars(self, service: str, route: str = "") -> list[Exemplar]:
        """The exemplars of the last hour, the oldest first, of one route or of all."""
        raise NotImplementedError

    def families(self, service: str) -> list[Family]:
        """Everything that the service has answered to the last scrape, by name; empty while it is down."""
        raise NotImplementedError
