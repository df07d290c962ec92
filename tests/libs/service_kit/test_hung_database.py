"""A database that hangs costs a request the time of a statement, and no connection to it is used again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from stack import postgres

from libs.service_kit import availability, database
from libs.service_kit.database import create_pool, execute
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.transactions import Sessions, create_sessions, transaction
from tests.libs.service_kit.sockets import Door

NOTES = "/api/v1/notes"
Run = Callable[[AsyncSession, str], Awaitable[Any]]


@pytest.fixture
async def door(postgres_server: postgres.Server) -> AsyncIterator[Door]:
    """The only way to the database."""
    opened = Door(postgres_server.port)
    await opened.open()
    yield opened
    opened.shut()


@pytest.fixture
def behind_the_door(
    door: Door, database_url: Callable[[str], str], postgres_server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> DatabaseSettings:
    """The settings of a small and impatient pool."""
    monkeypatch.setattr(database, "COMMAND_SECONDS", 1.0)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.3)
    url = database_url("probe").replace(f":{postgres_server.port}/", f":{door.port}/")
    return DatabaseSettings(url=SecretStr(url), pool_size=4, pool_timeout_seconds=0.5)


async def through_sqlalchemy(session: AsyncSession, statement: str) -> None:
    await session.execute(text(statement))


async def test_reads_and_writes_are_503_until_it_answers_again(door, behind_the_door, run_probe, make_token):
    headers = {"authorization": f"Bearer {make_token()}"}
    async with (
        run_probe(database=behind_the_door) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as client,
    ):
        assert {(await client.get(NOTES)).status_code for _ in range(4)} == {200}
        door.flows.clear()
        for _ in range(2):  # those that it took when it began to hang, and those that it never answered
            asked = [client.get(NOTES) for _ in range(5)]
            asked += [client.post(NOTES, json={"code": f"c{n}", "text": "b"}) for n in range(5)]
            async with asyncio.timeout(5):
                answers = await asyncio.gather(*asked)
            assert {answer.status_code for answer in answers} == {503}
            assert all(answer.headers["retry-after"] for answer in answers)
        door.flows.set()
        assert {(await client.get(NOTES)).status_code for _ in range(8)} == {200}


@pytest.mark.parametrize("run", [execute, through_sqlalchemy])
@pytest.mark.parametrize("statement", ["select 2", None], ids=["statement", "commit"])
async def test_a_connection_on_which_something_hangs_is_not_used_again(door, behind_the_door, run, statement):
    engine = create_pool(behind_the_door, 1)
    sessions = create_sessions(engine)
    pids = [await hung(door, sessions, run, statement) for _ in range(2)]
    async with transaction(sessions) as session:
        pids.append(await session.scalar(text("select pg_backend_pid()")))
    assert len(set(pids)) == 3
    await engine.dispose()


async def hung(door: Door, sessions: Sessions, run: Run, statement: str | None) -> int:
    """The connection on which this statement, or the commit, got no answer; after it no other answer was awaited."""
    pid = 0
    with pytest.raises((TimeoutError, DBAPIError)):
        async with asyncio.timeout(1.9 * database.COMMAND_SECONDS) as patience, transaction(sessions) as session:
            await run(session, "select 1")
            pid = await session.scalar(text("select pg_backend_pid()"))
            door.flows.clear()
            if statement:
                await run(session, statement)
    door.flows.set()
    assert not patience.expired()
    return pid


async def test_the_server_ends_what_the_service_would_no_longer_wait_for(app_state):
    seconds = {}
    async with transaction(app_state["sessions"]) as session:
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            seconds[name] = int((await session.scalar(text(f"show {name}"))).removesuffix("s"))
    assert 0 < seconds["lock_timeout"] < seconds["statement_timeout"] < database.COMMAND_SECONDS <= 5
    assert 15 < seconds["idle_in_transaction_session_timeout"] <= 60


async def test_a_request_whose_statement_the_server_ends_may_try_again(app_state):
    with pytest.raises(DBAPIError) as ended:
        async with transaction(app_state["sessions"]) as session:
            await execute(session, "set local statement_timeout = 20")
            await execute(session, "select pg_sleep(5)")
    assert availability.note(ended.value)
