"""A statement of the kit's own goes straight to the driver, and fails as one of SQLAlchemy's would."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from stack import postgres

from libs.service_kit import database
from libs.service_kit.database import create_pool, execute
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.transactions import create_sessions, transaction


async def test_rows_have_named_columns(sessions):
    async with transaction(sessions) as session:
        [row] = await execute(session, "select $1::int as a, $2::text as b", 1, "two")
        assert (row["a"], row["b"]) == (1, "two")
        assert not await execute(session, "set local lock_timeout = 100")


async def test_a_mistake_in_it_says_its_sqlstate(sessions):
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            await execute(session, "select 1 / 0")
    assert getattr(caught.value.orig, "sqlstate", None) == "22012"
    assert not caught.value.connection_invalidated


async def test_no_parameter_is_shown_when_it_fails(sessions):
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            await execute(session, "select 1 / $1::int + length($2::text)", 0, "a secret")
    assert "a secret" not in str(caught.value)


async def test_a_connection_that_is_lost_in_it_is_not_used_again(sessions, superuser):
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            [row] = await execute(session, "select pg_backend_pid() as pid")
            await superuser.execute("select pg_terminate_backend($1, 5000)", row["pid"])
            await execute(session, "select 1")
    assert caught.value.connection_invalidated
    async with transaction(sessions) as session:
        assert await session.scalar(text("select pg_backend_pid()")) != row["pid"]


class Line:
    """A way to the server whose answers can be held back."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.open = asyncio.Event()
        self.open.set()

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(self._pass_on(reader, requests), self._pass_on(answers, writer, self.open))

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event | None = None
    ) -> None:
        try:
            while data := await source.read(65536):
                if gate:
                    await gate.wait()
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


@pytest.fixture
async def line(postgres_server: postgres.Server) -> AsyncIterator[tuple[Line, int]]:
    held = Line(postgres_server.port)
    yield held, await held.start()
    held.server.close()


@pytest.mark.parametrize("through_sqlalchemy", [False, True])
@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_no_tenant_finds_itself_in_a_transaction_of_another_whose_begin_was_cut_short(
    line,
    database_url,
    postgres_server,
    monkeypatch,
    how,
    through_sqlalchemy,
):
    held, port = line
    real = database.create_async_engine

    def impatient(*arguments: Any, connect_args: dict[str, Any], **more: Any) -> AsyncEngine:
        if how == "timed out":
            connect_args["command_timeout"] = 0.3
        return real(*arguments, connect_args=connect_args, **more)

    monkeypatch.setattr(database, "create_async_engine", impatient)
    url = database_url("probe").replace(f":{postgres_server.port}/", f":{port}/")
    engine = create_pool(DatabaseSettings(url=SecretStr(url)), 1)
    sessions = create_sessions(engine, Outbox("probe-service", lambda _: []))
    first, second = uuid4(), uuid4()
    question = "select current_setting('app.tenant_id', true) as tenant"

    async def work() -> None:
        async with transaction(sessions, first) as session:
            await (session.execute(text("select 1")) if through_sqlalchemy else execute(session, "select 1"))

    await work()
    held.open.clear()
    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)  # the server has its BEGIN, and its answer does not arrive
    if how == "cancelled":
        task.cancel()
        await asyncio.sleep(0.05)
    else:
        await asyncio.wait([task], timeout=5)
    held.open.set()
    with pytest.raises((asyncio.CancelledError, TimeoutError, DBAPIError)):
        await task
    for _ in range(2):
        async with transaction(sessions, second) as session:
            [row] = await execute(session, question)
            assert row["tenant"] == str(second)
    await engine.dispose()
