"""One, two and four replicas of budget: approvals by their API, and events by their relays.

All of them share the machine's cores with PostgreSQL, personnel, system and the client. So the numbers say what replicas
take from each other, by locks, leases and connections, and not how fast a larger machine is.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from uuid import UUID, uuid4

from bench import client
from bench.client import Load
from bench.command import BenchError
from bench.processes import Process
from bench_kit.commits import commit
from bench_kit.events import arrived
from bench_kit.machine import Machine
from pydantic import SecretStr

from bench_scale.fill import fill
from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.budget import ExpenditureApproved
from libs.service_kit.database import create_engine
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.transactions import create_sessions

COUNTS = (1, 2, 4)
CONNECTIONS = 16
TENANTS, ALLOCATIONS, AMOUNT = 10, 20, "12.50"
EACH = 200_000 // TENANTS
"""Requests of each tenant that wait for an approval: more than a run can approve."""
ARRIVAL_SECONDS = 120.0
PERMISSIONS = ("budget:read", "budget:approve", "personnel:read")

# Employees 1 and 2 of a tenant, whom `fill` has made: one has asked, the other approves.
_REQUESTS = f"""
insert into expenditures (id, tenant_id, version, allocation_id, amount, purpose, status, requester_id, employee_id)
select md5('asked' || tenant || n)::uuid, tenant, 1, md5(tenant || 'allocation' || n % {ALLOCATIONS} + 1)::uuid, {AMOUNT}, 'Paper',
    'requested', md5(tenant || 'user' || 1)::uuid, md5(tenant || 'employee' || 1)::uuid
from generate_series(0, {EACH} - 1) as n, (select md5('tenant' || number)::uuid as tenant from generate_series(1, {TENANTS}) as number)
"""
_ASKED = f"""
select md5('tenant' || number)::uuid as tenant, md5('asked' || md5('tenant' || number)::uuid || n)::uuid as id,
    md5(md5('tenant' || number)::uuid || 'user' || 2)::uuid as approver
from generate_series(0, {EACH} - 1) as n, generate_series(1, {TENANTS}) as number order by n, number
"""


async def run(
    machine: Machine, say: Callable[[str], None], *, rounds: int, seconds: float, count: int
) -> dict[str, object]:
    """The medians of the rounds, by number of replicas. Raises `BenchError` if something is lost or done twice."""
    with machine.serving("services.system.main", name="system-service", service="system") as system:
        events = await _events(machine, system, say, rounds, count)
    await _prepare(machine)
    with machine.serving("services.personnel.main", name="personnel-service", service="personnel") as personnel:
        approvals = await _approvals(machine, personnel, say, rounds, seconds)
    return {"events_per_second": events, **approvals}


async def _events(
    machine: Machine, system: Process, say: Callable[[str], None], rounds: int, count: int
) -> dict[int, float]:
    """Events a second, from the first commit to the last effect, while a client commits as fast as it can."""
    rates: dict[int, list[float]] = {replicas: [] for replicas in COUNTS}
    given = {"EVENTS__TRANSPORT": "http", "SERVICES__SYSTEM": f"http://127.0.0.1:{system.port}"}
    engine = create_engine(DatabaseSettings(url=SecretStr(machine.database_url("budget", "app"))))
    sessions = create_sessions(engine, Outbox("budget-service", lambda _: ["system"]))
    expected = 0
    for number, replicas in itertools.product(range(1, rounds + 1), COUNTS):
        with ExitStack() as stack:
            _start(machine, stack, replicas, **given)
            begun = perf_counter()
            await commit(sessions, count)
            expected += count
            while (found := await arrived(machine))[0] < expected:
                if perf_counter() - begun > ARRIVAL_SECONDS:
                    raise BenchError(
                        f"{found[0]} of {expected} events have arrived within {ARRIVAL_SECONDS:.0f} seconds"
                    )
                await asyncio.sleep(0.05)
            rates[replicas].append(count / (perf_counter() - begun))
        if (found := await arrived(machine)) != [expected] * 3:
            raise BenchError(f"{expected} events have led to {found} effects, distinct effects and inbox rows")
        say(f"  round {number}, {replicas} replicas: {rates[replicas][-1]:7,.0f} events/s")
    await engine.dispose()
    return {replicas: round(median(each), 1) for replicas, each in rates.items()}


async def _prepare(machine: Machine) -> None:
    """Employees, allocations, and requests that wait for an approval."""
    for service in ("personnel", "budget"):
        async with machine.superuser(service) as connection:
            await fill(connection, service, tenants=TENANTS, rows=50, largest=PLATFORM_TENANT_ID, most=20)
            if service == "budget":
                await connection.execute(_REQUESTS)
                await connection.execute("vacuum analyze")


async def _approvals(
    machine: Machine, personnel: Process, say: Callable[[str], None], rounds: int, seconds: float
) -> dict[str, object]:
    """Approvals a second, of ten tenants in turn, by connections that are spread over the replicas; what one leaves behind."""
    async with machine.superuser("budget") as connection:
        asked: list[tuple[UUID, UUID, UUID]] = [tuple(row) for row in await connection.fetch(_ASKED)]
    tokens = {
        tenant: machine.signer.token(str(tenant), *PERMISSIONS, sub=str(approver))
        for tenant, _, approver in asked[:TENANTS]
    }
    waiting = iter(asked)
    given = {"EVENTS__TRANSPORT": "none", "SERVICES__PERSONNEL": f"http://127.0.0.1:{personnel.port}"}
    rates: dict[int, list[float]] = {replicas: [] for replicas in COUNTS}
    answers = 0

    def approve(port: int) -> bytes:
        tenant, expenditure, _ = next(waiting)
        fields = (
            f"POST /api/v1/expenditures/{expenditure}/approve HTTP/1.1",
            f"host: 127.0.0.1:{port}",
            f"authorization: Bearer {tokens[tenant]}",
            'if-match: "1"',
            "content-length: 0",
        )
        return "\r\n".join((*fields, "", "")).encode()

    with ExitStack() as stack:
        servers = _start(machine, stack, max(COUNTS), **given)
        answers += sum(load.answers for load in _load(servers, approve, seconds / 4))  # to warm up
        for number, replicas in itertools.product(range(1, rounds + 1), COUNTS):
            loads = _load(servers[:replicas], approve, seconds)
            answers += sum(load.answers for load in loads)
            rates[replicas].append(sum(load.rps for load in loads))
            say(f"  round {number}, {replicas} replicas: {rates[replicas][-1]:7,.0f} approvals/s")
        series = sum(not line.startswith("#") for line in servers[0].get("/metrics").splitlines())
    approved, events = await _approved(machine)
    if {approved, events} != {answers}:
        raise BenchError(f"{answers} approvals were answered; the books have {approved}, and {events} events")
    return {
        "approvals_per_second": {replicas: round(median(each), 1) for replicas, each in rates.items()},
        "series_of_a_replica": series,
        "of_an_approval": {what: round(amount / answers, 2) for what, amount in _signals(servers, personnel).items()},
    }


def _signals(servers: Sequence[Process], personnel: Process) -> dict[str, int]:
    """The log lines and spans that budget and personnel have written, and their bytes."""
    found: dict[str, int] = {}
    for kind, what, mark in (("logs", "log lines", b"\n"), ("traces", "spans", b'"spanId"')):
        files = [path for each in (*servers, personnel) for path in (each.folder / kind).rglob("*") if path.is_file()]
        texts = [path.read_bytes() for path in files]
        found[what] = sum(text.count(mark) for text in texts)
        found[f"bytes of {what}"] = sum(map(len, texts))
    return found


async def _approved(machine: Machine) -> list[int]:
    """How many approvals the allocations' money says there were, and how many events."""
    money = f"(sum(committed) / {AMOUNT})::bigint from allocations"
    event = (
        f"count(*) from outbox where envelope->>'type' like '%{ExpenditureApproved.type}' and destination = 'system'"
    )
    return await machine.counts("budget", money, event)


def _start(machine: Machine, stack: ExitStack, replicas: int, **given: str) -> list[Process]:
    given["SERVICE_NAME"] = "budget-service"
    names = [f"budget-{uuid4().hex[:6]}" for _ in range(replicas)]  # of the folders
    return [
        stack.enter_context(machine.serving("services.budget.main", name=name, service="budget", **given))
        for name in names
    ]


def _load(servers: Sequence[Process], make: Callable[[int], bytes], seconds: float) -> list[Load]:
    """Send to each server at the same time, a thread for each."""

    def send(server: Process) -> Load:
        connections = CONNECTIONS // len(servers)
        return client.send(server.port, lambda: make(server.port), connections=connections, seconds=seconds)

    with ThreadPoolExecutor(len(servers)) as threads:
        return list(threads.map(send, servers))
