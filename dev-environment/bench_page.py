"""What the page takes from the services, measured on the running stack: `python -m bench_page`, as `make bench-page` calls it.

The tenant service gets the same requests in rounds, in turn beside the page and while the page is suspended. A browser that
has the page open makes it work more. Each pair of rounds gives two ratios; of several pairs the median counts, since a shared machine is noisy.
"""

import argparse
import sys
from statistics import median
from typing import Any

import psutil
from bench import client, command
from bench.command import BenchError, say
from stack import environment, settings
from stack.local import supervisor
from stack.services import PAGE, SERVICES, service_named

from libs.journey import steps
from libs.journey.client import Api

CONNECTIONS = 8
SERVICE, PATH = service_named("tenant"), "/api/v1/tenants?limit=20"


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    return command.run(given, "bench-page", lambda _folder: measure(given), table)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-page ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    options.add_argument("--rounds", type=int, default=7, help="pairs of rounds (default: 7)")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of each round (default: 5)")
    options.set_defaults(keep=False)
    return options


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure in the stack that runs. Raises `BenchError` if it does not run in local mode with its page."""
    current = settings.read()
    if not supervisor.is_running(current):
        raise BenchError("The stack does not run in local mode: `make up MODE=local` starts it.")
    known = supervisor.states(current)
    if ended := [each.name for each in (PAGE, SERVICE) if not known[each.name]["pid"]]:
        raise BenchError(f"{' and '.join(ended)} does not run: `make status` says why.")
    page, service = (psutil.Process(known[each]["pid"]) for each in (PAGE.name, SERVICE.name))
    request = _request(current)
    pairs: list[dict[str, float]] = []
    for number in range(given.rounds):
        say(f"pair {number + 1} of {given.rounds}")
        beside = _round(current, service, request, given.seconds)
        page.suspend()
        try:
            alone = _round(current, service, request, given.seconds)
        finally:
            page.resume()
        pairs.append({"beside": beside[0], "alone": alone[0], "cpu_beside": beside[1], "cpu_alone": alone[1]})
    return {
        "requests_per_second": {name: round(median(each[name] for each in pairs)) for name in ("beside", "alone")},
        "cpu_us": {name: round(median(each[f"cpu_{name}"] for each in pairs)) for name in ("beside", "alone")},
        "throughput_kept": median(each["beside"] / each["alone"] for each in pairs),
        "cpu_ratio": median(each["cpu_beside"] / each["cpu_alone"] for each in pairs),
        "page_mib": round(page.memory_info().rss / 2**20),
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rate, cpu = result["requests_per_second"], result["cpu_us"]
    return "\n".join(
        [
            "| | requests/s | CPU µs of the service per request |",
            "| --- | ---: | ---: |",
            f"| beside the page ({result['page_mib']} MiB) | {rate['beside']:,} | {cpu['beside']:,} |",
            f"| without it | {rate['alone']:,} | {cpu['alone']:,} |",
            f"| median of the pairs' ratios | {result['throughput_kept']:.1%} | {result['cpu_ratio']:.1%} |",
        ]
    )


def _request(current: settings.Settings) -> bytes:
    api = Api({each.short: environment.url(each, current) for each in SERVICES})
    try:
        token = steps.log_in_to_platform(api, current.values).token
    finally:
        api.close()
    head = (
        f"GET {PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{current.port(SERVICE.port_variable)}",
        f"Authorization: Bearer {token}",
    )
    return "\r\n".join((*head, "", "")).encode()


def _round(current: settings.Settings, service: psutil.Process, request: bytes, seconds: float) -> tuple[float, float]:
    """Requests per second, and the service's CPU time per request in microseconds."""
    before = service.cpu_times()
    done = client.send(current.port(SERVICE.port_variable), lambda: request, connections=CONNECTIONS, seconds=seconds)
    after = service.cpu_times()
    used = after.user + after.system - before.user - before.system
    return done.answers / done.seconds, used / done.answers * 1e6


if __name__ == "__main__":
    sys.exit(main())
