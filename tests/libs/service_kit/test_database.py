"""A statement of the kit's own goes straight to the driver, and fails as one of SQLAlchemy's would."""

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.service_kit.database import Sessions, execute, transaction


async def test_rows_have_named_columns(sessions: Sessions) -> None:
    async with transaction(sessions) as session:
        [row] = await execute(session, "select $1::int as a, $2::text as b", 1, "two")
        assert (row["a"], row["b"]) == (1, "two")
        assert not await execute(session, "set local lock_timeout = 100")


async def test_a_mistake_in_it_says_its_sqlstate(sessions: Sessions) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            await execute(session, "select 1 / 0")
    assert getattr(caught.value.orig, "sqlstate", None) == "22012"
    assert not caught.value.connection_invalidated


async def test_no_parameter_is_shown_when_it_fails(sessions: Sessions) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            await execute(session, "select 1 / $1::int + length($2::text)", 0, "a secret")
    assert "a secret" not in str(caught.value)


async def test_a_connection_that_is_lost_in_it_is_not_used_again(
    sessions: Sessions, superuser: asyncpg.Connection
) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with transaction(sessions) as session:
            [row] = await execute(session, "select pg_backend_pid() as pid")
            await superuser.execute("select pg_terminate_backend($1, 5000)", row["pid"])
            await execute(session, "select 1")
    assert caught.value.connection_invalidated
    async with transaction(sessions) as session:
        assert await session.scalar(text("select pg_backend_pid()")) != row["pid"]
