"""What it costs that there are many tenants, and a long audit trail: the same requests to a small database and to a large one."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from bench import client
from bench_kit.machine import Machine

from bench_scale.fill import fill

LARGEST = UUID(int=13)
"""The tenant that asks. It has a tenth of all rows."""
FEW_TENANTS, FEW_ROWS = 20, 50
ROWS = 50
"""Rows of each budget table that a tenant has."""
SERVICES = ("system", "budget")
READS = (
    ("system", "/api/v1/audit-entries"),
    ("system", "/api/v1/audit-entries?type=budget.kind3"),
    ("system", "/api/v1/audit-entries?entity_type=kind1"),
    ("budget", "/api/v1/expenditures"),
    ("budget", "/api/v1/expenditures?status=requested"),
    ("budget", "/api/v1/accounts"),
)
WRITE = ("budget", "/api/v1/accounts")


async def prepare(machine: Machine, *, tenants: int, rows: int, entries: int) -> None:
    """Fill the databases: `rows` of each budget table for each tenant, and `entries` audit entries in all."""
    for service, kind, each in (("budget", "budget", rows), ("system", "audit", max(entries * 9 // 10 // tenants, 20))):
        async with machine.superuser(service) as connection:
            await fill(connection, kind, tenants=tenants, rows=each, largest=LARGEST, most=max(tenants * each // 9, 60))


async def size(machine: Machine) -> dict[str, int]:
    """How many audit entries there are, and the bytes of each, with and without its indexes."""
    entries, whole, table = await machine.counts(
        "system",
        "count(*) from audit_entries",
        "pg_total_relation_size('audit_entries')",
        "pg_table_size('audit_entries')",
    )
    return {"entries": entries, "bytes_each": whole // entries, "bytes_each_without_indexes": table // entries}


def run(
    small: Machine, large: Machine, say: Callable[[str], None], *, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """For each request the medians, in milliseconds, in the small and in the large database."""
    machines = {"small": small, "large": large}
    given = {"EVENTS__TRANSPORT": "none"}
    took: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        ports = {
            (size, service): stack.enter_context(
                machine.serving(f"services.{service}.main", name=f"{service}-service", service=service, **given)
            ).port
            for (size, machine), service in itertools.product(machines.items(), SERVICES)
        }
        for number in range(rounds + 1):
            for service, path, method in [(*read, "GET") for read in READS] + [(*WRITE, "POST")]:
                for size_name, machine in machines.items():
                    make = _requests(machine, ports[size_name, service], method, path)
                    load = client.send(
                        ports[size_name, service],
                        make,
                        connections=1,
                        seconds=seconds if number else seconds / 4,  # to warm up
                        status=201 if method == "POST" else 200,
                    )
                    if number:
                        took.setdefault((f"{method} {path}", size_name), []).append(load.p50_ms)
            if number:
                say(f"  round {number} of {rounds}")
    return [
        {
            "request": request,
            "small_ms": round(median(took[request, "small"]), 2),
            "large_ms": round(median(took[request, "large"]), 2),
        }
        for request in dict.fromkeys(request for request, _ in took)
    ]


def _requests(machine: Machine, port: int, method: str, path: str) -> Callable[[], bytes]:
    """A function that returns the next request; each that writes has a row of its own."""
    token = machine.signer.token(str(LARGEST), "budget:read", "budget:write", "audit:read")
    fields = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"
    if method == "GET":
        request = f"{fields}\r\n".encode()
        return lambda: request

    def write() -> bytes:
        code = f"a-{uuid4().hex[:20]}"
        body = f'{{"code": "{code}", "name": "An account"}}'
        headers = f"content-type: application/json\r\nidempotency-key: {code}\r\ncontent-length: {len(body)}\r\n"
        return f"{fields}{headers}\r\n{body}".encode()

    return write


def measure(
    small: Machine,
    large: Machine,
    say: Callable[[str], None],
    *,
    tenants: int,
    entries: int,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Fill both, and compare."""
    for machine, many, rows, all_entries in (
        (small, FEW_TENANTS, FEW_ROWS, FEW_TENANTS * FEW_ROWS),
        (large, tenants, ROWS, entries),
    ):
        say(f"  filling: {many:,} tenants, {all_entries:,} audit entries")
        asyncio.run(prepare(machine, tenants=many, rows=rows, entries=all_entries))
    sizes = asyncio.run(size(large))
    return {"requests": run(small, large, say, rounds=rounds, seconds=seconds), "tenants": tenants, **sizes}
