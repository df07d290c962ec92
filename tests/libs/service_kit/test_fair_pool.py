"""A tenant whose requests hold all that it may have of the pool leaves connections for the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from stack import postgres

from libs.service_kit.background import run_background
from libs.service_kit.database import create_engine
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.shares import TENANT, Overloaded
from libs.service_kit.transactions import Sessions
from tests.fixtures.waiting import eventually_async
from tests.libs.service_kit.sockets import Door

NOTES = "/api/v1/notes"
SIZE = 4


@pytest.fixture
async def door(postgres_server: postgres.Server) -> AsyncIterator[Door]:
    """The only way to the database."""
    opened = Door(postgres_server.port)
    await opened.open()
    yield opened
    opened.shut()


@pytest.fixture
async def engine(
    door: Door, database_url: Callable[[str], str], postgres_server: postgres.Server
) -> AsyncIterator[AsyncEngine]:
    """A pool of four connections behind the door."""
    url = database_url("probe").replace(f":{postgres_server.port}/", f":{door.port}/")
    made = create_engine(DatabaseSettings(url=SecretStr(url), pool_size=SIZE, pool_timeout_seconds=0.1))
    yield made
    await made.dispose()


async def take_all(engine: AsyncEngine, stack: AsyncExitStack) -> list[AsyncConnection]:
    """The connections that the pool gives to this tenant."""
    held: list[AsyncConnection] = []
    with pytest.raises(Overloaded):
        while True:
            held.append(await stack.enter_async_context(engine.connect()))
    return held


async def test_half_of_the_connections_are_for_others(engine):
    before = REGISTRY.get_sample_value("db_pool_timeouts_total", {"pool": "probe"}) or 0
    async with AsyncExitStack() as stack:
        for number in range(2):
            TENANT.set(UUID(int=number))
            assert len(await take_all(engine, stack)) == SIZE // 2
    assert REGISTRY.get_sample_value("db_pool_timeouts_total", {"pool": "probe"}) == before + 2


async def test_requests_of_nobody_leave_connections_for_the_work_of_the_process(engine):
    done = asyncio.Event()

    async def work(sessions: Sessions) -> None:
        async with sessions.begin() as session:
            await session.execute(text("select 1"))
        done.set()
        await asyncio.Event().wait()

    sessions = async_sessionmaker(engine)
    async with AsyncExitStack() as stack:
        await take_all(engine, stack)
        async with run_background("probe", engine, sessions, {"work": work}), asyncio.timeout(10):
            await done.wait()


async def test_no_place_is_lost_with_a_connection_that_cannot_be_had_or_breaks(engine, door, superuser):
    for _ in range(SIZE):
        door.shut()
        with pytest.raises(OSError):
            await engine.connect()
        await door.open()
        async with engine.connect() as connection:
            await connection.invalidate()
        task = asyncio.create_task(engine.connect().__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with AsyncExitStack() as stack:
        held = await take_all(engine, stack)
        assert len(held) == SIZE // 2
        for connection in held:
            await connection.execute(text("select 1"))


async def test_no_place_is_lost_with_a_connection_that_leaves_the_pool(engine):
    for _ in range(SIZE):
        async with engine.connect() as connection:
            await connection.run_sync(lambda it: it.detach())
    async with AsyncExitStack() as stack:
        assert len(await take_all(engine, stack)) == SIZE // 2


async def test_no_place_is_lost_with_a_connection_that_nobody_closes(engine):
    for _ in range(SIZE):
        with pytest.warns(SAWarning, match="garbage collector"):
            await engine.connect()
    async with AsyncExitStack() as stack:
        assert len(await take_all(engine, stack)) == SIZE // 2


async def until_locked(superuser: asyncpg.Connection, count: int) -> None:
    """Return when so many requests wait for a lock."""
    waiting = "select count(*) from pg_stat_activity where usename = 'probe_app' and wait_event_type = 'Lock'"

    async def are_waiting() -> bool:
        await superuser.execute("select pg_stat_clear_snapshot()")
        return await superuser.fetchval(waiting) == count

    await eventually_async(are_waiting, 10, "the flood does not hold its share")


async def test_while_a_tenant_floods_a_service_with_requests_that_hang_another_is_served(
    run_probe, make_token, database_url, superuser
):
    database = DatabaseSettings(url=SecretStr(database_url("probe")), pool_size=SIZE, pool_timeout_seconds=2)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(run_probe(database=database))
        flooding, other = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=30, headers={"authorization": f"Bearer {token}"})
            )
            for token in (make_token(tenant_id=uuid4()), make_token(tenant_id=uuid4()))
        ]
        path = (await flooding.post(NOTES, json={"code": "a", "text": "b"})).headers["location"]
        change = {"json": {"text": "c"}, "headers": {"if-match": "*"}}
        async with superuser.transaction():
            await superuser.execute("lock table notes in share mode")
            flood = [asyncio.create_task(flooding.patch(path, **change)) for _ in range(60)]
            await until_locked(superuser, SIZE // 2)
            answers = await asyncio.gather(*(other.get(NOTES) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert not all(task.done() for task in flood)
            await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        refused = [answer.json() for answer in await asyncio.gather(*flood) if answer.status_code == 503]
        assert refused
        assert {each["type"] for each in refused} == {"/problems/overloaded"}
