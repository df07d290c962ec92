"""What the kit costs a request: the same creating POST with it and without it, in rounds that take turns."""

import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from uuid import uuid4

import asyncpg
from bench import client
from bench.client import Load
from bench.command import BenchError
from bench.processes import Process
from stack import postgres

from bench_kit.machine import Machine

PATH = "/api/v1/notes"
CONNECTIONS = 16
POOL = {"DATABASE__POOL_SIZE": "16"}
WARM_UP_SECONDS = 1.0
PEOPLE = 100
KINDS = ("plain", "kit")


def request(port: int, body: bytes, **headers: str) -> bytes:
    """A POST of JSON as it goes over the wire."""
    given = {"host": f"127.0.0.1:{port}", "content-type": "application/json", "content-length": str(len(body))}
    fields = [f"{name.replace('_', '-')}: {value}" for name, value in {**given, **headers}.items()]
    return "\r\n".join((f"POST {PATH} HTTP/1.1", *fields, "", "")).encode() + body


def bodies(kind: str, tenant_id: str, tokens: Sequence[str], port: int) -> Callable[[], bytes]:
    """Requests of many people in turn, each with a note, and with the kit a key, of its own."""
    numbers, run, token = itertools.count(), uuid4().hex[:12], itertools.cycle(tokens)

    def make() -> bytes:
        code = f"{run}-{next(numbers)}"
        note = {"code": code, "text": "A note about an amount", "amount": "12.50"}
        if kind == "plain":
            return request(port, json.dumps({"tenant_id": tenant_id, **note}).encode())
        headers = {"authorization": f"Bearer {next(token)}", "idempotency_key": code}
        return request(port, json.dumps(note).encode(), **headers)

    return make


async def kept(machine: Machine, kind: str) -> list[int]:
    """How many rows each table holds; of the outbox, those that nobody has sent."""
    connection = await asyncpg.connect(postgres.url(machine.server, database="measured"))
    try:
        ours = ("notes", "idempotency_keys where status = 201", "outbox where published_at is null")
        tables = ("plain_notes",) if kind == "plain" else ours
        return [await connection.fetchval(f"select count(*) from {table}") for table in tables]
    finally:
        await connection.close()


async def run(machine: Machine, say: Callable[[str], None], *, rounds: int, seconds: float) -> dict[str, object]:
    """Medians of the rounds of both, and what share of its throughput the kit keeps."""
    tenant_id = str(uuid4())
    tokens = [machine.signer.token(tenant_id, "budget:write") for _ in range(PEOPLE)]
    loads: dict[str, list[Load]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    answers = dict.fromkeys(KINDS, 0)
    with ExitStack() as stack:
        servers: dict[str, Process] = {}
        makers: dict[str, Callable[[], bytes]] = {}
        for kind in KINDS:
            serving = machine.serving("bench_kit.measured.main", kind, name=kind, service="measured", **POOL)
            servers[kind] = stack.enter_context(serving)
            makers[kind] = bodies(kind, tenant_id, tokens, servers[kind].port)
        for number in range(rounds + 1):
            for kind in KINDS:
                before = servers[kind].cpu_seconds()
                duration = seconds if number else WARM_UP_SECONDS
                load = client.send(
                    servers[kind].port, makers[kind], connections=CONNECTIONS, seconds=duration, status=201
                )
                answers[kind] += load.answers
                if number:
                    loads[kind].append(load)
                    cpu[kind].append((servers[kind].cpu_seconds() - before) / load.answers * 1e6)
                    say(f"  round {number}: {kind:5} {load.rps:7,.0f} requests/s")
        for kind in KINDS:
            rows = await kept(machine, kind)
            if set(rows) != {answers[kind]}:
                raise BenchError(f"{kind}: {answers[kind]} answers, but {rows} rows")
    result: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        result[kind] = {
            "rps": round(median(load.rps for load in loads[kind]), 1),
            "p50_ms": round(median(load.p50_ms for load in loads[kind]), 2),
            "p99_ms": round(median(load.p99_ms for load in loads[kind]), 2),
            "cpu_us": round(median(cpu[kind]), 0),
        }
    pairs = zip(loads["kit"], loads["plain"], strict=True)
    share = median(kit.rps / plain.rps for kit, plain in pairs)
    cpu_share = result["plain"]["cpu_us"] / result["kit"]["cpu_us"]
    return {**result, "throughput_kept": round(share, 3), "throughput_kept_by_cpu": round(cpu_share, 3)}
