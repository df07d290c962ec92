"""The same two endpoints with no telemetry, with the floor's, the tutorials' and ours, in interleaved rounds."""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import client
from bench.command import BenchError
from bench.processes import Process, Sink, Stage

ENDPOINTS = {"trivial": "/items/7", "database": "/products/1"}
CONNECTIONS = 16
WARM_UP_SECONDS = 0.7
MOST_BY_OTHERS = 0.08

# The wiring of each variant in `bench.apps`, and its environment variables.
NO_LINES = {"LOG_LEVEL": "error"}
NO_SPANS = {"OTEL_SDK_DISABLED": "true"}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "bare": ("bare", {}),
    "floor": ("floor", {}),
    "tutorial": ("tutorial", {}),
    "ours": ("ours", {}),
    "ours_development": ("ours", {"NODE_ENV": "development"}),
    "ours_traces": ("ours_without_metrics", NO_LINES),
    "ours_metrics": ("ours", NO_LINES | NO_SPANS),
    "ours_logs": ("ours_without_metrics", NO_SPANS),
}
# Variants that deliver every signal for every request. `before` is the `ours` of another checkout.
COMPLETE = ("floor", "ours", "ours_development", "before")

Say = Callable[[str], None]


class LostError(BenchError):
    """The spans, lines or counts do not match the requests."""


@dataclass(frozen=True)
class _Round:
    load: client.Load
    cpu: float
    by_others: float
    """The share of the round in which the server's core worked for other processes."""


def _play(server: Process, path: str, seconds: float) -> _Round:
    core, own = server.core_seconds(), server.cpu_seconds()
    load = client.load(server.port, path, connections=CONNECTIONS, seconds=seconds)
    core, own = server.core_seconds() - core, server.cpu_seconds() - own
    return _Round(load, own, (core - own) / load.seconds)


@dataclass
class Rounds:
    """The measurements of all rounds of one variant at one endpoint."""

    rps: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    by_others: list[float] = field(default_factory=list)

    def add(self, server: Process, path: str, seconds: float) -> int:
        """Play one more round; returns how many requests were answered.

        A round in which other processes took much of the server's core is repeated, and the quieter of the two counts.
        """
        first = _play(server, path, seconds)
        played = [first, _play(server, path, seconds)] if first.by_others > MOST_BY_OTHERS else [first]
        kept = min(played, key=lambda each: each.by_others)
        self.rps.append(kept.load.rps)
        self.p50_ms.append(kept.load.p50_ms)
        self.p99_ms.append(kept.load.p99_ms)
        self.cpu_us.append(kept.cpu / kept.load.answers * 1_000_000)
        self.rss_mib.append(server.rss_mib())
        self.by_others.append(kept.by_others)
        return sum(each.load.answers for each in played)

    def medians(self) -> dict[str, float]:
        """The medians, under the names of the JSON object."""
        return {
            "rps": round(median(self.rps)),
            "p50_ms": round(median(self.p50_ms), 2),
            "p99_ms": round(median(self.p99_ms), 2),
            "cpu_us": round(median(self.cpu_us), 1),
            "rss_mib": round(median(self.rss_mib)),
        }

    def added(self, bare: "Rounds") -> float:
        """The CPU that a request takes beyond a bare one, as a share of the bare one: the median of the rounds' pairs."""
        return round(median(own / theirs for own, theirs in zip(self.cpu_us, bare.cpu_us, strict=True)) - 1, 3)


def run(
    stage: Stage,
    say: Say,
    *,
    rounds: int,
    seconds: float,
    only: Collection[str] = VARIANTS,
    endpoints: Collection[str] = ENDPOINTS,
    against: Path | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Medians by endpoint and variant, bare always among them; `before` is the `ours` of the checkout `against`.

    Raises `LostError` when a complete variant has not delivered exactly one of each signal for each request.
    """
    sink = stage.start_sink()
    if "database" in endpoints:
        stage.start_database()
    servers = {
        name: stage.start_server(name, sink, wiring, environment=given)
        for name, (wiring, given) in VARIANTS.items()
        if name == "bare" or name in only
    }
    if against is not None:
        servers["before"] = stage.start_server("before", sink, "ours", root=against)
    answered = dict.fromkeys(servers, 1)  # the request that showed that it was ready
    paths = {endpoint: path for endpoint, path in ENDPOINTS.items() if endpoint in endpoints}
    measured = {endpoint: {name: Rounds() for name in servers} for endpoint in paths}
    for endpoint, path in paths.items():
        for name, server in servers.items():
            say(f"warming up: {endpoint}, {name}")
            answered[name] += Rounds().add(server, path, WARM_UP_SECONDS)
    for number in range(rounds):
        for endpoint, path in paths.items():
            for name, server in servers.items():
                say(f"round {number + 1} of {rounds}: {endpoint}, {name}")
                answered[name] += measured[endpoint][name].add(server, path, seconds)
    others = max(max(each.by_others) for variants in measured.values() for each in variants.values())
    if others > MOST_BY_OTHERS:
        say(f"Other processes took up to {others:.0%} of the servers' core: trust the CPU µs, not requests/s and ms.")
    say("counting spans, lines and requests")
    for name in COMPLETE:
        if name in servers:
            verify(sink, servers[name], answered[name])
    return {
        endpoint: {name: each.medians() | {"added": each.added(variants["bare"])} for name, each in variants.items()}
        for endpoint, variants in measured.items()
    }


def verify(sink: Sink, server: Process, answered: int) -> None:
    """Stop the server, and check one span, one line and one count for each answered request, and one span for each statement."""
    page = server.get("/metrics")
    counted = sum(int(float(value)) for value in re.findall(r"(?m)^http_requests_total\{.*\} (\S+)", page))
    server.stop()
    lines = access_lines(server)
    spans = sink.spans(server.name)
    found = {
        "answered requests": answered,
        "counted requests": counted,
        "access lines": sum(lines.values()),
        "server spans": sum(number for name, number in spans.items() if name.startswith("GET ")),
    }
    # wrk closes connections whose responses are still on their way when its time is up.
    surplus = 0 if client.is_exact() else counted - answered
    expected = answered + max(0, surplus)
    statements = spans.get("SELECT products", 0)
    if set(list(found.values())[1:]) != {expected} or statements != lines.get("/products/{id}", 0):
        raise LostError(f"{server.name}: the numbers differ: {found}, statements {statements}, lines {lines}")


def access_lines(server: Process) -> dict[str, int]:
    """The number of access lines of a server, by route."""
    routes: dict[str, int] = {}
    for path in server.folder.glob("combined.log*"):
        with path.open("rb") as file:
            for line in file:
                if b'"request handled"' in line:
                    route = json.loads(line)["http"]["route"]
                    routes[route] = routes.get(route, 0) + 1
    return routes
