"""What telemetry costs, measured on this machine: `python -m bench`, as `make bench-telemetry` calls it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bench import client, collector, command, compare, lines, routes, scrape, tables
from bench.command import say
from bench.processes import Stage, pin

PARTS = {"collector": collector.run, "logging": lines.run, "metrics": scrape.run, "routes": routes.run}


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    cores = pin()
    chosen = next((name for name in PARTS if getattr(given, name)), "compare")
    say(f"load by {client.name()}; server on core {cores.server}, all else on core {cores.client}")

    def measure(folder: Path) -> Any:
        with Stage(folder, cores) as stage:
            return (PARTS | {"compare": compare.run})[chosen](stage, say, rounds=given.rounds, seconds=given.seconds)

    return command.run(given, "bench-telemetry", measure, tables.compared if chosen == "compare" else tables.plain)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-telemetry ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    parts = options.add_mutually_exclusive_group()
    parts.add_argument(
        "--collector", action="store_true", help="instead: ours while the collector is away, silent, slow"
    )
    parts.add_argument("--logging", action="store_true", help="instead: 20,000 lines a second; stop, kill, a full disk")
    parts.add_argument("--metrics", action="store_true", help="instead: scrapes of 2,000 sample lines")
    parts.add_argument("--routes", action="store_true", help="instead: 10 routes against 200, and 40 in five routers")
    options.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default: 5)")
    options.add_argument("--seconds", type=float, default=2.0, help="seconds of each round (default: 2)")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


if __name__ == "__main__":
    sys.exit(main())
