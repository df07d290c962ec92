"""How the stack grows, measured on this machine: `python -m bench_scale`, as `make bench-scale` calls it."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from bench import command
from bench.command import say
from bench_kit.machine import Machine

from bench_scale import growth, replicas


def main() -> int:
    """Measure and print; returns the exit code."""
    given = parser().parse_args()
    return command.run(given, "bench-scale", lambda folder: measure(folder, given), table)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-scale ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    options.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (default: 3)")
    options.add_argument("--seconds", type=float, default=4.0, help="seconds of each round of requests (default: 4)")
    options.add_argument("--events", type=int, default=4000, help="events of each round (default: 4000)")
    options.add_argument("--tenants", type=int, default=2000, help="tenants of the large database (default: 2000)")
    options.add_argument("--entries", type=int, default=1_000_000, help="its audit entries (default: 1000000)")
    options.add_argument("--only", choices=["replicas", "growth"], help="only this half")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


def measure(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Measure both halves, each with databases of its own."""
    result: dict[str, Any] = {}
    rounds, seconds = given.rounds, given.seconds
    if given.only != "growth":
        say("One, two and four replicas of budget")
        with Machine(folder / "replicas", services=("budget", "personnel", "system")) as machine:
            result |= asyncio.run(replicas.run(machine, say, rounds=rounds, seconds=seconds, count=given.events))
    if given.only != "replicas":
        say("The same requests to a small database and to a large one")
        with (
            Machine(folder / "small", services=growth.SERVICES) as small,
            Machine(folder / "large", services=growth.SERVICES) as large,
        ):
            many = {"tenants": given.tenants, "entries": given.entries}
            result["growth"] = growth.measure(small, large, say, rounds=rounds, seconds=seconds / 2, **many)
    return result


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines: list[str] = []
    if approvals := result.get("approvals_per_second"):
        lines += [
            "| replicas of budget | approvals/s | of one | events/s | of one |",
            "| --- " * 5 + "|",
        ]
        events = result["events_per_second"]
        for count in approvals:
            shares = [f"{rates[count]:,.0f} | {rates[count] / rates[1]:.2f}" for rates in (approvals, events)]
            lines.append(f"| {count} | {' | '.join(shares)} |")
        left = ", ".join(f"{amount:,.4g} {what}" for what, amount in result["of_an_approval"].items())
        lines += ["", f"A replica has {result['series_of_a_replica']} series; an approval leaves {left}."]
    if grown := result.get("growth"):
        lines += [
            "",
            f"| p50 in ms | a small database | {grown['tenants']:,} tenants, {grown['entries']:,} audit entries | ratio |",
            "| --- " * 4 + "|",
        ]
        for row in grown["requests"]:
            ratio = row["large_ms"] / row["small_ms"]
            lines.append(f"| `{row['request']}` | {row['small_ms']:.2f} | {row['large_ms']:.2f} | {ratio:.2f} |")
        with_indexes, without = grown["bytes_each"], grown["bytes_each_without_indexes"]
        lines += ["", f"An audit entry takes {with_indexes} bytes on disk, {without} of them without its indexes."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
