"""A service's life: it opens what it needs, works beside its requests, and leaves nothing behind."""

import asyncio
import json
import re
import signal
from collections.abc import Generator
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import text
from stack.ports import free_port
from starlette.types import Message

from libs.contracts import SUBSCRIPTIONS
from libs.contracts.budget import AccountOpened
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.service_kit import app as kit
from libs.service_kit import background, migrations
from libs.service_kit import client as kit_client
from libs.service_kit.events.flow import create_outbox, flow
from libs.service_kit.events.metrics import begin_at_zero
from libs.service_kit.events.outbox import publish
from libs.service_kit.settings import DatabaseSettings, ServiceSettings
from libs.service_kit.transactions import Sessions, transaction
from tests.fixtures.app import serving
from tests.fixtures.waiting import eventually_async, until_somebody_waits
from tests.libs.service_kit.probe.main import create_app
from tests.libs.service_kit.processes import is_alive, process, variables
from tests.libs.service_kit.sockets import HANG, answer, running_peer

NOTES = "/api/v1/notes"


def tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if not task.done()}


async def connections(superuser: asyncpg.Connection) -> int:
    await superuser.execute("select pg_stat_clear_snapshot()")
    return await superuser.fetchval("select count(*) from pg_stat_activity where usename = 'probe_app'")


async def test_a_lifespan_closes_all_that_it_opened(make_settings, superuser):
    tasks_before, connections_before = tasks(), await connections(superuser)
    app = create_app(make_settings(events={"transport": "http", "client_secret": "secret"}))
    async with app.router.lifespan_context(app) as state:
        async with state["engine"].connect():
            assert await connections(superuser) > connections_before
        assert tasks() > tasks_before
        clients = list(state["clients"].values())
    assert tasks() == tasks_before
    assert all(client._http.is_closed for client in clients)

    async def are_closed() -> bool:
        return await connections(superuser) <= connections_before

    await eventually_async(are_closed, 5, "connections are still open")


async def test_the_slowest_work_is_waited_for(make_settings):
    running, ended = asyncio.Semaphore(0), asyncio.Event()

    async def quick(sessions: Sessions) -> None:
        running.release()
        await asyncio.Event().wait()

    async def slow(sessions: Sessions) -> None:
        try:
            await quick(sessions)
        finally:
            await asyncio.sleep(0.05)
            ended.set()

    app = kit.create_app(make_settings(), description="d", routers=[], background={"quick": quick, "slow": slow})
    async with app.router.lifespan_context(app), asyncio.timeout(10):
        for _ in range(2):
            await running.acquire()
    assert ended.is_set()


async def test_a_start_that_fails_half_way_closes_what_was_open(make_settings, monkeypatch):
    opened: list[kit_client.ServiceClient] = []

    class Counted(kit_client.ServiceClient):
        def __init__(self, *given: Any, **options: Any) -> None:
            if opened:
                raise RuntimeError("no more clients")
            super().__init__(*given, **options)
            opened.append(self)

    monkeypatch.setattr(kit_client, "ServiceClient", Counted)
    tasks_before = tasks()
    app = create_app(make_settings(events={"transport": "http", "client_secret": "secret"}))
    with pytest.raises(RuntimeError, match="no more clients"):
        async with app.router.lifespan_context(app):
            pytest.fail("it has started")
    assert opened[0]._http.is_closed
    assert tasks() == tasks_before


async def test_work_that_fails_starts_again(make_settings, monkeypatch):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    runs, enough = 0, asyncio.Event()

    async def work(sessions: Sessions) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()
        raise RuntimeError("once more")

    app = kit.create_app(make_settings(), description="d", routers=[], background={"work": work})
    async with app.router.lifespan_context(app), asyncio.timeout(10):
        await enough.wait()


async def test_work_begins_when_the_database_answers(make_settings, monkeypatch):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.02)
    asked, began = 0, asyncio.Event()

    async def not_at_first(*_: object) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ConnectionRefusedError
        return asked > 2

    async def work(sessions: Sessions) -> None:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(migrations, "is_migrated", not_at_first)
    app = kit.create_app(make_settings(), description="d", routers=[], background={"work": work})
    async with app.router.lifespan_context(app), asyncio.timeout(10):
        await began.wait()
    assert asked == 3


async def test_a_service_relays_its_events_to_those_who_hear_them(make_settings, tenant_id):
    """AccountOpened is heard by the audit trail only, which stands here as a peer beside auth."""
    async with running_peer() as auth, running_peer() as system:
        auth.script = [answer(200, {"access_token": "t-1", "expires_in": 900})]
        system.script = [answer(200, {"refusals": [None]})]
        urls = {"auth": auth.url, "system": system.url}
        events = {"transport": "http", "client_secret": "secret"}
        app = create_app(make_settings(services=urls, events=events))
        async with app.router.lifespan_context(app) as state:
            async with transaction(state["sessions"], tenant_id) as session:  # type: ignore[arg-type]
                publish(session, AccountOpened(account_id=uuid4(), code="a", name="A"))
            await eventually_async(system.asked, 10, "no event has come")
        ((method, path, headers, batch), *_) = system.requests
        assert (method, path, headers["authorization"]) == ("POST", "/internal/events", "Bearer t-1")
        assert headers["content-type"] == "application/cloudevents-batch+json"
        assert batch[-1]["type"] == AccountOpened.type
        assert auth.requests[0][3] == {"client_id": "probe-service", "client_secret": "secret"}


async def test_a_relay_that_waits_for_its_destination_takes_no_connection_from_the_requests(
    make_settings, database_url, tenant_id
):
    one = DatabaseSettings(url=SecretStr(database_url("probe")), pool_size=1, pool_timeout_seconds=0.5)
    async with running_peer() as auth, running_peer() as system:
        auth.script = [answer(200, {"access_token": "t-1", "expires_in": 900})]
        system.script = [HANG]
        urls = {"auth": auth.url, "system": system.url}
        events = {"transport": "http", "client_secret": "secret"}
        app = create_app(make_settings(services=urls, events=events, database=one))
        async with app.router.lifespan_context(app) as state:
            async with transaction(state["sessions"], tenant_id) as session:
                publish(session, AccountOpened(account_id=uuid4(), code="a", name="A"))
            await eventually_async(system.asked, 10, "no event has come")
            async with transaction(state["sessions"], tenant_id) as session:
                await session.execute(text("select 1"))


async def test_the_transport_decides_about_relays_and_destinations(make_settings):
    by_http = {"transport": "http", "client_secret": "secret"}
    by_broker = {"transport": "rabbitmq", "broker_url": "amqp://probe-service@127.0.0.1:1/"}
    expected = {
        "none": set(),
        "http": {"watch", *(f"relay to {each}" for each in SUBSCRIPTIONS)},
        "rabbitmq": {"broker", "watch"},
    }
    for given in ({"transport": "none"}, by_http, by_broker):
        settings: ServiceSettings = make_settings(events=given)
        outbox = create_outbox(settings)
        async with (
            kit_client.ServiceClient("auth", "http://auth") as auth,
            flow(settings, outbox, auth, {}) as work,
        ):
            assert set(work) == expected[given["transport"]]
        through_broker = outbox.destinations(AccountOpened.type) == ["broker"]
        assert through_broker is (given["transport"] == "rabbitmq")


async def test_a_service_whose_broker_is_away_answers_and_is_ready(make_settings, make_token):
    app = create_app(make_settings(events={"transport": "rabbitmq", "broker_url": "amqp://probe-service@127.0.0.1:1/"}))
    headers = {"authorization": f"Bearer {make_token()}"}
    async with serving(app) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
        made = await client.post(NOTES, json={"code": "a", "text": "b"})
        assert (made.status_code, (await client.get("/health/ready")).status_code) == (201, 200)
    assert REGISTRY.get_sample_value("dependency_up", {"dependency": "broker"}) == 0


async def test_health_and_metrics_need_no_token(anonymous):
    for path in ("/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"):
        assert (await anonymous.get(path)).status_code == 200
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert (await anonymous.head(path)).status_code == 200


async def document_of(app: FastAPI) -> bytes:
    """The body of the OpenAPI document, as the app hands it to the server."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/openapi.json", "query_string": b"", "headers": []}
    await app(scope, lambda: asyncio.sleep(0, {"type": "http.request"}), send)
    return sent[1]["body"]


async def test_the_document_is_encoded_once_for_the_routes_that_there_are(make_settings):
    app = create_app(make_settings())
    first = await document_of(app)
    assert await document_of(app) is first
    assert {"/api/v1/notes", "/later"} & set(json.loads(first)["paths"]) == {"/api/v1/notes"}

    app.add_api_route("/later", lambda: None)
    assert "/later" in json.loads(await document_of(app))["paths"]
    assert json.loads(await document_of(app)) == app.openapi()


async def test_the_docs_load_nothing_from_other_hosts(anonymous):
    page = (await anonymous.get("/docs")).text
    sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(sources) >= 2
    for source in sources:
        assert (await anonymous.get(source)).status_code == 200, source


@pytest.fixture
def hangup() -> Generator[None]:
    """SIGHUP ends the processes that a test starts, even under nohup, whose children inherit that it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])
async def test_a_service_that_is_told_to_stop_answers_first(
    hangup,
    told,
    database_url,
    jwks_url,
    make_token,
    superuser,
    tmp_path,
):
    port = free_port()
    headers = {"authorization": f"Bearer {make_token()}"}
    async with (
        asyncio.timeout(30),
        process(**variables(port, database_url, jwks_url, tmp_path)) as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as client,
    ):

        async def is_ready() -> bool:
            assert service.returncode is None
            return (await client.get("/health/ready")).status_code == 200

        await eventually_async(is_ready, 20, "the service is not ready")
        async with superuser.transaction():
            await superuser.execute("lock table notes")
            request = asyncio.create_task(client.post(NOTES, json={"code": "a", "text": "b"}))
            await until_somebody_waits(superuser)
            service.send_signal(told)

            async def is_closed() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except (
                    ConnectionError
                ):  # refused, or reset when the socket is closed while the call waits in its backlog
                    return True
                writer.close()
                return False

            await eventually_async(is_closed, 10, "the service still accepts connections")
        assert (await request).status_code == 201
        await service.communicate()
    assert '"message":"request handled"' in (tmp_path / "combined.log").read_text()


async def test_a_service_is_one_process_whatever_the_shell_says_of_other_servers(tmp_path, database_url):
    port = free_port()
    given = {
        "PORT": str(port),
        "LOG_DIR": str(tmp_path),
        "DATABASE__URL": database_url("probe"),
        "WEB_CONCURRENCY": "4",
    }
    async with process(**given) as service, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await eventually_async(partial(is_alive, service, client), 20, "the service does not answer")


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")],
)
async def test_only_a_proxy_that_is_named_says_where_a_client_is(tmp_path, database_url, proxies, seen):
    port = free_port()
    given = {"PORT": str(port), "LOG_DIR": str(tmp_path), "DATABASE__URL": database_url("probe")}
    given["FORWARDED_ALLOW_IPS"] = proxies
    async with process(**given) as service, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await eventually_async(partial(is_alive, service, client), 20, "the service does not answer")
        assert (await client.get(NOTES, headers={"x-forwarded-for": "203.0.113.9"})).status_code == 401
        service.terminate()
        await service.communicate()
    assert f'"client_ip":"{seen}"' in (tmp_path / "combined.log").read_text()


async def test_the_events_that_a_service_hears_and_publishes_are_counted_from_zero():
    begin_at_zero("budget", lambda _: ["broker"])
    value = REGISTRY.get_sample_value
    for event_type in (TenantCreated.type, TenantClosed.type):
        assert value("events_consumed_total", {"event_type": event_type}) is not None
        assert value("event_age_seconds_count", {"event_type": event_type}) is not None
    assert value("events_published_total", {"event_type": AccountOpened.type}) is not None
    assert value("events_dead_total", {"event_type": AccountOpened.type, "destination": "broker"}) is not None
