"""What telemetry costs, measured on this machine: `python -m bench`, as `make bench-telemetry` calls it."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from local.postgres import PostgresError

from bench import client, compare, tables
from bench.processes import Stage, StartError, pin


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    cores = pin()
    folder = Path(tempfile.mkdtemp(prefix="bench-telemetry-"))
    say(f"load by {client.name()}; server on core {cores.server}, all else on core {cores.client}")
    try:
        with Stage(folder, cores) as stage:
            result = compare.run(stage, say, rounds=given.rounds, seconds=given.seconds)
        print(json.dumps(result, indent=2) if given.json else tables.compared(result))
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
    options.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default: 5)")
    options.add_argument("--seconds", type=float, default=2.0, help="seconds of each round (default: 2)")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
