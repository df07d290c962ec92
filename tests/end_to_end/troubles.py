"""Troubles of a running stack, each provoked for real, so that it emits what it emits only then."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from stack import environment
from stack.ports import free_port
from stack.services import service_named
from stack.settings import ROOT

from libs.contracts import CloudEvent
from libs.journey import people, steps, story
from libs.journey.client import Actor, Answer
from libs.journey.story import Tenant
from tests.end_to_end.stack import OUTER, Stack
from tests.fixtures.waiting import eventually_async

SECONDS = 20

# A budget-service in which a thread dies, as one of a library might.
WITH_A_DYING_THREAD = """
import threading
from libs.service_kit import app
from services.budget.main import Settings, create_app

def create(settings):
    made = create_app(settings)
    threading.Thread(target=lambda: [][0]).start()
    return made

app.serve(Settings, create)
"""


@asynccontextmanager
async def spoiled(stack: Stack, database: str, change: str, back: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as superuser, and until the end of the block a database in which this is changed."""
    connection = await stack.superuser(database)
    try:
        await connection.execute(change)
        try:
            yield connection
        finally:
            await connection.execute(back)
    finally:
        await connection.close()


def without(table: str) -> tuple[str, str]:
    """A change that takes a table away, and the one that brings it back."""
    return f"alter table {table} rename to {table}_elsewhere", f"alter table {table}_elsewhere rename to {table}"


async def says(stack: Stack, message: str, **fields: object) -> None:
    """Wait until there is a line with this message and these fields."""

    async def is_there() -> bool:
        return any(line["message"] == message and fields.items() <= line.items() for line in stack.lines(message))

    await eventually_async(is_there, SECONDS, f"no line says {message!r} with {fields}")


def change_everything(platform: Actor, tenant: Tenant) -> None:
    """Change what the journey only creates, and end sessions in both ways."""
    admin, api = tenant.admin, tenant.admin.api

    def change(service: str, path: str, wanted: dict[str, Any], who: Actor = admin, expect: int = 200) -> Answer:
        return who.call(service, "PATCH", path, json=wanted, if_match="*", expect=expect)

    new = secrets.token_hex(3)
    change("tenant", f"/api/v1/tenants/{tenant.tenant_id}", {"name": f"Renamed {new}"}, platform)
    user = admin.create(
        "auth",
        "/api/v1/users",
        {"email": f"{new}@example.org", "name": "New", "password": f"plover-{new}-kelp", "roles": ["member"]},
    )
    change("auth", f"/api/v1/users/{user.body['id']}", {"name": "Renamed"})
    reset = admin.call("auth", "POST", "/api/v1/passwords/resets", json={"user_id": user.body["id"]}, expect=201)
    chosen = {"token": reset.body["token"], "new_password": f"heron-{new}-fjord"}
    api.call("auth", "POST", "/api/v1/passwords/resets/use", json=chosen, expect=204)
    login = {"tenant": tenant.company.code, "email": user.body["email"], "password": chosen["new_password"]}
    api.call("auth", "POST", "/api/v1/auth/login", json=login)
    change("auth", f"/api/v1/users/{user.body['id']}", {"is_active": False})  # ends the session
    change("auth", f"/api/v1/users/{user.body['id']}", {"roles": ["nobody's"]}, expect=422)
    role = admin.create("auth", "/api/v1/roles", {"name": f"Role {new}", "permissions": ["budget:read"]})
    change("auth", f"/api/v1/roles/{role.body['id']}", {"permissions": ["audit:read"]})
    assert httpx.request("PROPFIND", f"{api.urls['auth']}/api/v1/users").status_code == 405  # a method of WebDAV
    account = steps.open_account(admin, f"a-{new}", "New")
    change("budget", f"/api/v1/accounts/{account.body['id']}", {"name": "Renamed"})
    group = steps.create_code_group(admin, f"g-{new}", "New")
    change("system", f"/api/v1/code-groups/{group.body['id']}", {"name": "Renamed"})
    code = steps.create_code(admin, group.body["id"], "c", "New")
    change("system", f"/api/v1/codes/{code.body['id']}", {"is_active": False})
    spent = story.spend(tenant, Random(1)).body["allocation_id"]
    change("budget", f"/api/v1/allocations/{spent}", {"amount": "999999.00"})
    change("budget", f"/api/v1/allocations/{spent}", {"amount": "0.01"}, expect=409)
    term = {"department_id": next(iter(tenant.departments.values())), "title": "Clerk"}
    first, second = [term | {"starts_on": f"{year}-01-01", "ends_on": f"{year}-12-31"} for year in (2020, 2021)]
    hired = admin.create(
        "personnel",
        "/api/v1/employees",
        {"number": f"N{new}", "name": "New", "email": f"{new}@example.org", "appointment": first},
    )
    admin.create("personnel", f"/api/v1/employees/{hired.body['id']}/appointments", second)
    change("personnel", f"/api/v1/employees/{hired.body['id']}", {"name": "Renamed"})
    admin.call("budget", "POST", "/api/v1/accounts", json={"code": "x"}, expect=422)
    tenant.member.call("budget", "POST", "/api/v1/accounts", json={"code": "x", "name": "x"}, expect=403)
    member = steps.log_in(api, tenant.company.code, tenant.company.member)
    used = {"refresh_token": member.refresh_token}
    member.renew()
    api.call("auth", "POST", "/api/v1/auth/refresh", json=used, expect=401)
    once = steps.log_in(api, tenant.company.code, tenant.company.member)
    api.call("auth", "POST", "/api/v1/auth/logout", json={"refresh_token": once.refresh_token}, expect=204)


async def lose_database(stack: Stack, admin: Actor) -> None:
    """System has no connection left to its database for a while, in which an event is to be sent to it."""
    limit = "alter database system connection limit"
    async with spoiled(stack, "postgres", f"{limit} 0", f"{limit} -1") as connection:
        of_system = "from pg_stat_activity where usename = 'system_app'"
        await connection.execute(f"select pg_terminate_backend(pid, 5000) {of_system}")
        headers = {"authorization": f"Bearer {admin.token}"}
        assert httpx.get(f"{stack.urls['system']}/api/v1/audit-entries", headers=headers).status_code == 503
        await asyncio.to_thread(steps.create_department, admin, f"u-{secrets.token_hex(3)}", "Unheard of")
        await says(stack, "events could not be sent", service="personnel-service", destination="system")
    await says(stack, "a dependency answers again", service="system-service", dependency="database")


async def fail_to_open_tenants(stack: Stack, platform: Actor) -> None:
    """One tenant has a code that auth knows already; for another, personnel does not answer in time, and then too late.

    Nor can the second one be closed at first.
    """
    wanted = [people.company(seed, secrets.token_hex(3)) for seed in (1, 2)]
    auth = await stack.superuser("auth")
    await auth.execute("insert into tenants (id, code, status) values ($1, $2, 'active')", uuid4(), wanted[0].code)
    await auth.close()
    await asyncio.to_thread(steps.create_tenant, platform, wanted[0])

    async with spoiled(stack, "personnel", "begin; lock table departments in exclusive mode", "rollback"):
        late = (await asyncio.to_thread(steps.create_tenant, platform, wanted[1])).body["id"]
        async with spoiled(stack, "tenant", *without("outbox")) as tenants:
            await tenants.execute("update tenants set created_at = now() - interval '1 day' where id = $1", late)
            await says(stack, "background work failed and starts again", work="provisioning timeout")
        await says(stack, "tenant closed", tenant_id=late)
    await says(stack, "answer came late", participant="personnel")


async def send_wrong_events(stack: Stack, tenant: Tenant) -> None:
    """A service answers twice, then says nothing that anybody understands; another sends nonsense ten minutes late."""
    api = tenant.admin.api
    account = {"client_id": "auth-service", "client_secret": stack.account_secret("auth")}
    token = api.call("auth", "POST", "/api/v1/auth/token", json=account).body["access_token"]
    api.call("auth", "POST", "/api/v1/auth/token", json=account | {"client_secret": "another"}, expect=401)

    def event(**data: str) -> dict[str, Any]:
        envelope = CloudEvent(
            id=uuid4(),
            source="auth-service",
            type="tenant.prepared.v1",
            subject=f"tenant/{tenant.tenant_id}",
            time=datetime.now(UTC),
            tenantid=tenant.tenant_id,
            data=data,
        )
        return envelope.model_dump(mode="json")

    twice = [event(tenant_id=tenant.tenant_id, service="auth"), event()]
    api.call("tenant", "POST", "/internal/events", token=token, json=twice)

    personnel = await stack.superuser("personnel")
    nonsense = "jsonb_set(jsonb_set(envelope, '{id}', to_jsonb(new.id)), '{data}', '{}')"
    copies = f"""insert into outbox (event_id, destination, tenant_id, envelope, carrier, created_at, attempts)
        select new.id, destination, tenant_id, {nonsense}, carrier, now() - interval '10 minutes', new.attempts
        from (values (gen_random_uuid(), 0), (gen_random_uuid(), 7)) as new (id, attempts),
        (select * from outbox where destination = 'system' and tenant_id = $1 limit 1) as sent returning event_id"""
    made = [row["event_id"] for row in await personnel.fetch(copies, tenant.tenant_id)]
    await says(stack, "event put off", event_id=str(made[0]))
    await says(stack, "event given up", event_id=str(made[1]))
    await personnel.execute("delete from outbox where event_id = any($1)", made)
    await personnel.close()


@contextmanager
def misled_replica(stack: Stack) -> Iterator[str]:
    """A second budget-service that has one connection, little patience and a drain, and an environment in which much is wrong."""
    port, folder = free_port(), stack.settings.state
    wrong = {
        "PORT": str(port),
        "LOG_DIR": str(folder / "logs/replica"),
        "TRACES_DIR": str(folder / "traces/replica"),
        "METRICS_PORT": stack.settings.values["POSTGRES_PORT"],
        "OTEL_BSP_MAX_QUEUE_SIZE": "many",
        "OTEL_TRACES_EXPORTER": "files,jaeger_proto",
        "EVENTS__TRANSPORT": "none",
        "DATABASE__POOL_SIZE": "1",
        "DATABASE__POOL_TIMEOUT_SECONDS": "0.3",
        "DRAIN_SECONDS": "0.2",
    }
    variables = environment.of_service(service_named("budget"), stack.settings, OUTER) | wrong
    with (folder / "replica.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", WITH_A_DYING_THREAD],
            env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(15)


async def overload(stack: Stack, tenant: Tenant, replica: str) -> None:
    """The replica has no connection left for a second request, and personnel fails whenever the replica asks it."""
    headers = {"authorization": f"Bearer {tenant.manager.fresh_token()}"}
    wish = steps.request_expenditure(tenant.member, next(iter(tenant.allocations.values())), "1.00", "Pencils")

    def ask(method: str, path: str, **more: str) -> int:
        return httpx.request(method, f"{replica}{path}", headers=headers | more, timeout=10).status_code

    async def is_ready() -> bool:
        return await asyncio.to_thread(ask, "GET", "/health/ready") == 200

    await eventually_async(is_ready, SECONDS, "the replica is not ready")
    async with spoiled(stack, "budget", "begin; lock table fiscal_years in access exclusive mode", "rollback"):
        first, second = [asyncio.create_task(asyncio.to_thread(ask, "GET", "/api/v1/fiscal-years")) for _ in range(2)]
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert sorted([await first, await second]) == [200, 503]

    approve = f"/api/v1/expenditures/{wish.body['id']}/approve"
    async with spoiled(stack, "personnel", *without("employees")):
        asked = [await asyncio.to_thread(ask, "POST", approve, **{"if-match": wish.etag}) for _ in range(3)]
    assert asked == [503, 503, 503]
