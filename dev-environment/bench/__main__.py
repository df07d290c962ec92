"""What telemetry costs, measured on this machine: `python -m bench`, as `make bench-telemetry` calls it."""

import argparse
import sys
from collections.abc import Callable, Collection
from functools import partial
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
    part = next((PARTS[name] for name in PARTS if getattr(given, name)), None)
    comparison = partial(compare.run, only=given.only, endpoints=given.endpoint, against=given.against)
    run = part or comparison
    say(f"load by {client.name()}; server on core {cores.server}, all else on core {cores.client}")

    def measure(folder: Path) -> Any:
        with Stage(folder, cores) as stage:
            return run(stage, say, rounds=given.rounds, seconds=given.seconds)

    return command.run(given, "bench-telemetry", measure, tables.plain if part else tables.compared)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-telemetry ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    parts = options.add_mutually_exclusive_group()
    parts.add_argument(
        "--collector",
        action="store_true",
        help="instead: ours with a collector that refuses, is silent, slow or unavailable",
    )
    parts.add_argument(
        "--logging", action="store_true", help="instead: 20,000 lines a second; SIGTERM, SIGKILL, a full disk"
    )
    parts.add_argument("--metrics", action="store_true", help="instead: scrapes of 2,000 sample lines")
    parts.add_argument("--routes", action="store_true", help="instead: 10 routes against 200, and 40 in five routers")
    options.add_argument(
        "--only",
        type=_some(compare.VARIANTS),
        default=compare.VARIANTS,
        help="only these variants and bare, separated by commas",
    )
    options.add_argument(
        "--endpoint",
        type=_some(compare.ENDPOINTS),
        default=compare.ENDPOINTS,
        help="trivial or database (default: both)",
    )
    options.add_argument(
        "--against", type=_checkout, help="another checkout, whose ours is measured as well, as the variant before"
    )
    options.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default: 5)")
    options.add_argument("--seconds", type=float, default=2.0, help="seconds of each round (default: 2)")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


def _some(known: Collection[str]) -> Callable[[str], list[str]]:
    """A parser for a comma-separated list of known names."""

    def parse(given: str) -> list[str]:
        names = given.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: unknown, choose from {', '.join(known)}")
        return names

    return parse


def _checkout(given: str) -> Path:
    path = Path(given).resolve()
    if not (path / "dev-environment/bench/apps.py").is_file():
        raise argparse.ArgumentTypeError(f"{given} is not a checkout of this repository")
    return path


if __name__ == "__main__":
    sys.exit(main())
