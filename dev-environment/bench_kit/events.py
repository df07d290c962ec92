"""Events end to end: committed in one service's outbox, sent by one relay over HTTP, an effect in another service."""

import asyncio
import json
import sys
from collections.abc import Callable
from statistics import median

import asyncpg
from bench.command import BenchError
from bench.processes import ROOT
from stack import postgres

from bench_kit.machine import Machine

SENDER_SECONDS = 60.0


async def send(machine: Machine, system_port: int, count: int) -> dict[str, float]:
    """Let a process of its own commit and relay `count` events; how long it took."""
    environment = machine.environment("sender", "measured", SERVICES__SYSTEM=f"http://127.0.0.1:{system_port}")
    command = (sys.executable, "-m", "bench_kit.sender", str(count))
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(SENDER_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise BenchError(f"{count} events have not arrived in {SENDER_SECONDS:.0f} seconds") from None
    if process.returncode:
        raise BenchError(f"the sender ended with {process.returncode}:\n{out.decode()[-2000:]}")
    return json.loads(out.splitlines()[-1])


async def arrived(machine: Machine) -> tuple[int, int, int]:
    """Effects, distinct effects and inbox rows in the receiving service."""
    connection = await asyncpg.connect(postgres.url(machine.server, database="system"))
    try:
        counts = ("count(*) from audit_entries", "count(distinct id) from audit_entries", "count(*) from inbox")
        effects, distinct, noted = [await connection.fetchval(f"select {count}") for count in counts]
        return effects, distinct, noted
    finally:
        await connection.close()


async def run(machine: Machine, say: Callable[[str], None], *, rounds: int, count: int) -> dict[str, float]:
    """The median rate, after looking that none is lost and none is doubled."""
    rates: list[float] = []
    given = {"EVENTS__TRANSPORT": "none"}
    with machine.serving("services.system.main", name="system-service", service="system", **given) as system:
        await send(machine, system.port, 100)
        for number in range(1, rounds + 1):
            took = await send(machine, system.port, count)
            expected = 100 + number * count
            if (found := await arrived(machine)) != (expected,) * 3:
                raise BenchError(f"of {expected} events there are {found} effects, distinct effects and inbox rows")
            rates.append(count / took["relayed_seconds"])
            say(
                f"  round {number}: {rates[-1]:7,.0f} events/s (committed at {count / took['committed_seconds']:,.0f}/s)"
            )
    return {"events_per_second": round(median(rates), 1), "events": count * rounds, "lost": 0, "doubled": 0}
