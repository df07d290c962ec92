"""What telemetry costs, measured on this machine: `python -m bench`, as `make bench-telemetry` calls it."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from local.postgres import PostgresError

from bench import client, collector, compare, lines, routes, scrape, tables
from bench.processes import Stage, StartError, pin

PARTS = {"collector": collector.run, "logging": lines.run, "metrics": scrape.run, "routes": routes.run}


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    cores = pin()
    folder = Path(tempfile.mkdtemp(prefix="bench-telemetry-"))
    chosen = next((name for name in PARTS if getattr(given, name)), "compare")
    say(f"load by {client.name()}; server on core {cores.server}, all else on core {cores.client}")
    try:
        with Stage(folder, cores) as stage:
            measured = (PARTS | {"compare": compare.run})[chosen](
                stage, say, rounds=given.rounds, seconds=given.seconds
            )
        table = tables.compared if chosen == "compare" else tables.plain
        print(json.dumps(measured, indent=2) if given.json else table(measured))
        return 0
    except (StartError, PostgresError, client.LoadError, compare.LostError) as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted.")
        return 130
    finally:
        if given.keep:
            say(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


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


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
