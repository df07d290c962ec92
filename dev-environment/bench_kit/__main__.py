"""What the service kit costs, measured on this machine: `python -m bench_kit`, as `make bench-kit` calls it."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from bench import command
from bench.command import say

from bench_kit import events, tax
from bench_kit.machine import Machine


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    server_core: int | None = None
    if hasattr(os, "sched_setaffinity"):
        *others, server_core = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, others or [server_core])  # the client's; PostgreSQL inherits them

    def measured(folder: Path) -> dict[str, Any]:
        with Machine(folder, server_core) as machine:
            return asyncio.run(measure(machine, given))

    return command.run(given, "bench-kit", measured, table)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-kit ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    options.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: 5)")
    options.add_argument("--seconds", type=float, default=3.0, help="seconds of each round of requests (default: 3)")
    options.add_argument("--events", type=int, default=3000, help="events of each round (default: 3000)")
    options.add_argument("--only", choices=["requests", "events"], help="only this half")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


async def measure(machine: Machine, given: argparse.Namespace) -> dict[str, Any]:
    """Measure both halves. Events come first, because the requests leave theirs in the same outbox."""
    result: dict[str, Any] = {}
    if given.only != "requests":
        say("Events, from one service's outbox to another's effect, over HTTP")
        result["events"] = await events.run(machine, say, rounds=given.rounds, count=given.events)
    if given.only != "events":
        say("A creating POST, without the kit and with it")
        result["requests"] = await tax.run(machine, say, rounds=given.rounds, seconds=given.seconds)
    return result


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines: list[str] = []
    if requests := result.get("requests"):
        lines += [
            "| a creating POST | requests/s | p50 ms | p99 ms | CPU µs | throughput | by CPU |",
            "| --- " * 7 + "|",
        ]
        shares = ((1.0, 1.0), (requests["throughput_kept"], requests["throughput_kept_by_cpu"]))
        for kind, (share, by_cpu) in zip(("plain", "kit"), shares, strict=True):
            row = requests[kind]
            numbers = f"{row['rps']:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['cpu_us']:,.0f}"
            lines.append(f"| {kind} | {numbers} | {share:.0%} | {by_cpu:.0%} |")
    if arrived := result.get("events"):
        lines += ["", "| events end to end | events/s | lost | doubled |", "| --- " * 4 + "|"]
        rate = f"{arrived['events_per_second']:,.0f}"
        lines.append(f"| {arrived['events']:,} | {rate} | {arrived['lost']} | {arrived['doubled']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
