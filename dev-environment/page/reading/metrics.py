"""What the services' metrics say now and have said in the last hour: rates and quantiles of the last half minute."""

import asyncio
import http.client
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from page.reading import openmetrics, scrape
from page.reading.history import HOUR, History, Point
from page.reading.increases import Counts, Increases
from page.reading.openmetrics import Family
from page.reading.quantiles import quantile
from page.reading.scrape import Exemplar, Scrape

What = Literal["rate", "error_ratio", "p50", "p95", "memory", "lag", "pool", "waiting"]
RouteWhat = Literal["rate", "error_ratio", "p50", "p95"]

LOOK_SECONDS = 10.0
MOST_EXEMPLARS = 1000
WHOLE = ""
"""The service among its routes."""


@dataclass(frozen=True, slots=True)
class RouteNumbers:
    """A method and route now; `count` is since the start of the process. None: not known, as a quantile of no requests."""

    route: str
    rate: float | None
    """Requests a second."""
    error_ratio: float | None
    """The part of the requests that was answered with 5xx."""
    p50: float | None
    p95: float | None
    count: float


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


class _Scraped:
    """What is known of one service."""

    def __init__(self) -> None:
        self.families: list[Family] | None = []
        """None until somebody asks for those of `page`."""
        self.page = ""
        self.numbers = Numbers()
        self.routes: list[RouteNumbers] = []
        self.history: History[tuple[str, str]] = History()
        self.exemplars: dict[tuple[str, str], Exemplar] = {}
        self._requests: Increases[str] = Increases()
        self._durations: Increases[str] = Increases()
        self._lag: Increases[str] = Increases()

    def take(self, page: str, read: Scrape) -> None:
        """Take the next page, and what was read of it."""
        moment = time.monotonic()
        self.page, self.families = page, None
        age = math.inf if read.started is None else time.time() - read.started
        self._requests.look(moment, read.started, read.requests | {WHOLE: _added(read.requests)}, age)
        self._durations.look(moment, read.started, read.durations | {WHOLE: _added(read.durations)})
        self._lag.look(moment, read.started, {WHOLE: read.lag})
        whole = self._route(WHOLE, read)
        self.routes = sorted(
            (self._route(route, read) for route in read.requests), key=lambda each: (-(each.rate or 0), -each.count)
        )
        self.numbers = Numbers(
            rate=whole.rate if read.requests else None,
            error_ratio=whole.error_ratio,
            p50=whole.p50,
            p95=whole.p95,
            lag=quantile(0.95, read.lag_bounds, self._lag.of(WHOLE) or ()),
            logins=read.logins,
            **read.sums,
        )
        self._remember(read, time.time())

    def fail(self) -> None:
        """There was no page."""
        self.page, self.families, self.numbers, self.routes = "", [], Numbers(), []
        self.history.add(time.time(), {})

    def _route(self, route: str, read: Scrape) -> RouteNumbers:
        requests, durations = self._requests.of(route), self._durations.of(route) or ()
        count, failed = requests or (0, 0)
        return RouteNumbers(
            route,
            rate=count / self._requests.seconds if requests else None,
            error_ratio=failed / count if count else None,
            p50=quantile(0.5, read.duration_bounds, durations),
            p95=quantile(0.95, read.duration_bounds, durations),
            count=(self._requests.latest[route] or (0.0,))[0],
        )

    def _remember(self, read: Scrape, now: float) -> None:
        numbers = self.numbers
        values = {(WHOLE, what): getattr(numbers, what) for what in ("memory", "lag", "waiting")}
        values[WHOLE, "pool"] = numbers.pool_used
        for each in (numbers, *(route for route in self.routes if route.count)):
            name = each.route if isinstance(each, RouteNumbers) else WHOLE
            values |= {(name, "rate"): each.rate, (name, "error_ratio"): each.error_ratio}
            values |= {(name, "p50"): each.p50, (name, "p95"): each.p95}
        self.history.add(now, values)
        self.exemplars |= {(each.trace_id, each.route): each for each in read.exemplars}
        recent = [(key, each) for key, each in self.exemplars.items() if each.time > now - HOUR]
        self.exemplars = dict(sorted(recent, key=lambda each: each[1].time)[-MOST_EXEMPLARS:])


class Metrics:
    """Scrapes every service, and keeps an hour of what the page draws."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """`ports` of /metrics by service."""
        self._ports = ports
        self._scraped = {service: _Scraped() for service in ports}
        self._looked = -LOOK_SECONDS

    @property
    def is_watched(self) -> bool:
        """Whether somebody has looked in the last ten seconds."""
        return time.monotonic() - self._looked < LOOK_SECONDS

    def look(self) -> None:
        """Somebody looks: for ten seconds from now, the services are asked more often."""
        self._looked = time.monotonic()

    def numbers(self, service: str) -> Numbers:
        """A service now."""
        return self._scraped[service].numbers

    def history(self, service: str, what: What) -> list[Point]:
        """A number of the service over the last hour, the oldest first; scrapes at which it was not known are left out.

        Those at which the service did not answer are NaN.
        """
        return self._scraped[service].history.points((WHOLE, what))

    def routes(self, service: str) -> list[RouteNumbers]:
        """Every route, the busiest first."""
        return self._scraped[service].routes

    def route_history(self, service: str, route: str, what: RouteWhat) -> list[Point]:
        """The same of one route, as `routes` names it; there is nothing before its first request."""
        return self._scraped[service].history.points((route, what))

    def exemplars(self, service: str, route: str = "") -> list[Exemplar]:
        """The exemplars of the last hour, the oldest first, of one route or of all."""
        return [each for each in self._scraped[service].exemplars.values() if route in ("", each.route)]

    def families(self, service: str) -> list[Family]:
        """Everything that the service has answered to the last scrape, by name; empty while it is down."""
        scraped = self._scraped[service]
        if scraped.families is None:
            scraped.families = openmetrics.families(scraped.page)
        return scraped.families

    async def read(self) -> None:
        """Scrape all services, at the same time."""
        await asyncio.gather(*(self._scrape(service, port) for service, port in self._ports.items()))

    async def _scrape(self, service: str, port: int) -> None:
        try:
            page, read = await asyncio.to_thread(scrape.fetch, port)
        except (OSError, http.client.HTTPException):
            self._scraped[service].fail()
        else:
            self._scraped[service].take(page, read)


def _added(counts: Mapping[str, Counts]) -> list[float]:
    """The sums of all routes; those of other buckets than the first has are left out."""
    return [sum(each) for each in zip(*counts.values(), strict=False)]
