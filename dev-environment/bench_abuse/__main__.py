"""What abuse does to a service, measured on this machine: `python -m bench_abuse`, as `make bench-abuse` calls it."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import command
from bench.command import BenchError, say
from bench.processes import ROOT, Process

from bench_abuse import target
from bench_abuse.abuses import ABUSES

MOST_MIB, LONGEST_MS, LEAST_GOODPUT = 200, 250, 0.8
IS_BROKEN: dict[str, Callable[[float], bool]] = {
    "peak_mib": lambda mib: mib > MOST_MIB,
    "live_ms": lambda ms: ms > LONGEST_MS,
    "goodput": lambda share: share < LEAST_GOODPUT,
}
EVERY_SECONDS = 0.04  # of the legitimate client, and of the orchestrator that asks whether the service is alive
PATIENCE_SECONDS = 1.0  # what comes later is no use to a person
ALONE = "nothing"


@dataclass
class Watched:
    """What was seen while it lasted."""

    kind: str
    connections: int = 0
    peak_mib: float = 0.0
    after_mib: float = 0.0
    live_ms: float = 0.0
    answered: int = 0
    asked: int = 0
    goodput: float = 1.0


def main() -> int:
    """Measure and print; returns the exit code, which is 1 if a limit is broken."""
    given = parser().parse_args()
    found: list[Watched] = []

    def measured(folder: Path) -> list[dict[str, Any]]:
        with target.running(folder) as (process, token):
            found.extend(asyncio.run(measure(process, token, given)))
        return [asdict(each) for each in found]

    code = command.run(given, "bench-abuse", measured, table)
    return code or int(report_broken([asdict(each) for each in found]))


def report_broken(rows: list[dict[str, Any]]) -> bool:
    """Say which limits are broken, and what that means. Returns whether any is."""
    broken = {row["kind"]: [name for name in IS_BROKEN if IS_BROKEN[name](row[name])] for row in rows}
    lines = [f"{kind} breaks the limit of {', '.join(names)}." for kind, names in broken.items() if names]
    if lines:
        load = f"its load average is {os.getloadavg()[0]:.0f}, with {os.cpu_count()} processors"
        say("\n".join([*lines, f"On a machine that others use, live_ms and goodput mean nothing: {load}."]))
    return bool(lines)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="make bench-abuse ARGS=…", description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object and nothing else on standard output")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of each kind (default: 5)")
    options.add_argument("--only", choices=list(ABUSES), action="append", help="only this kind; may be repeated")
    options.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return options


async def measure(process: Process, token: str, given: argparse.Namespace) -> list[Watched]:
    """The legitimate client alone, and then beside each kind of abuse."""
    await watch(process, token, ALONE, 1.0)  # the first requests of a process are slower
    found: list[Watched] = []
    for kind in (ALONE, *(given.only or ABUSES)):
        say(kind)
        found.append(await watch(process, token, kind, given.seconds))
        if process.process.poll() is not None:
            raise BenchError(f"The service has died of {kind}.")
        shares = [each.answered / max(each.asked, 1) for each in (found[0], found[-1])]
        if not shares[0]:
            raise BenchError("The service answers the legitimate client nothing in time, even alone.")
        found[-1].goodput = shares[1] / shares[0]
    return found


async def watch(process: Process, token: str, kind: str, seconds: float) -> Watched:
    """Have one kind of abuse, and ask the service all the while."""
    seen = Watched(kind)
    target.forget_peak(process)
    abuse = await _start(kind, process.port, token, seconds) if kind != ALONE else None
    end = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.TaskGroup() as asking:
            asking.create_task(_ask_health(process.port, seen, end))
            asking.create_task(_ask_as_client(process.port, token, seen, end))
        if abuse:
            seen.connections = int((await abuse.communicate())[0] or 0)
    except ExceptionGroup as group:
        if found := group.subgroup(BenchError):
            raise found.exceptions[0] from None
        raise
    finally:
        if abuse and abuse.returncode is None:
            abuse.kill()
            await abuse.wait()
    seen.peak_mib, seen.after_mib = target.peak_mib(process), process.rss_mib()
    return seen


async def _start(kind: str, port: int, token: str, seconds: float) -> asyncio.subprocess.Process:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dev-environment")))}
    arguments = ["-m", "bench_abuse.abuses", kind, str(port), str(seconds), token]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )


async def _ask_health(port: int, seen: Watched, end: float) -> None:
    """Ask as an orchestrator does, on a new connection each time."""
    loop = asyncio.get_running_loop()
    while (began := loop.time()) < end:
        if not await _is_answered(port, "/health/live", "", 30):
            raise BenchError(f"{seen.kind}: /health/live was not answered")
        seen.live_ms = max(seen.live_ms, (loop.time() - began) * 1000)
        await asyncio.sleep(EVERY_SECONDS)


async def _ask_as_client(port: int, token: str, seen: Watched, end: float) -> None:
    """Ask at a steady pace, whether the answers come or not; count those that come in time."""
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        seen.asked += 1
        is_answered = await _is_answered(port, "/api/v1/users", token, PATIENCE_SECONDS)
        seen.answered += is_answered  # not in one statement, which would add to what the number was before the wait

    async with asyncio.TaskGroup() as asking:
        while loop.time() < end:
            asking.create_task(ask())
            await asyncio.sleep(EVERY_SECONDS)


async def _is_answered(port: int, path: str, token: str, patience: float) -> bool:
    """Whether a GET on a new connection is answered with 200 in time."""
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head.encode())
                return (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                writer.transport.abort()
    except (ConnectionError, TimeoutError):
        return False


def table(rows: list[dict[str, Any]]) -> str:
    """The result as Markdown; what breaks a limit is bold."""
    lines = [
        "| abuse | what is sent | connections | peak MiB | afterwards MiB | longest live ms | goodput |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        shown = {"peak_mib": ".0f", "live_ms": ".0f", "goodput": ".0%"}
        peak, live, goodput = (
            f"**{row[name]:{form}}**" if IS_BROKEN[name](row[name]) else f"{row[name]:{form}}"
            for name, form in shown.items()
        )
        says = ABUSES[row["kind"]].says if row["kind"] != ALONE else "the legitimate client alone"
        after = f"{row['after_mib']:.0f}"
        lines.append(f"| {row['kind']} | {says} | {row['connections']:,} | {peak} | {after} | {live} | {goodput} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
