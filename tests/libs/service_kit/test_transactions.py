"""What is to be done after a commit is done after it, and only then."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from libs.service_kit.tables import InboxRow
from libs.service_kit.transactions import after_commit, bind_tenant, bound_tenant, commit_of, lock, transaction
from tests.fixtures.waiting import until_somebody_waits


@pytest.fixture
def done() -> list[str]:
    """What has been done."""
    return []


@pytest.fixture
def do(done: list[str]) -> Callable[[str], Callable[[], None]]:
    """Something to do: `do("a")`."""
    return lambda what: lambda: done.append(what)


async def test_it_is_done_once_after_the_commit(sessions, done, do):
    async with sessions() as session:
        for what in ("a", "b"):
            after_commit(session, do(what))
            await session.execute(text("select 1"))
            assert done == ["a", "b"][: len(done)]
            assert what not in done
            await session.commit()
    assert done == ["a", "b"]


async def test_a_rollback_does_nothing(sessions, done, do):
    async with sessions() as session:
        after_commit(session, do("a"))
        await session.execute(text("select 1"))
        await session.rollback()
        after_commit(session, do("b"))
        await session.execute(text("select 1"))
        await session.commit()
    assert done == ["b"]


async def test_a_commit_that_fails_does_nothing(sessions, done, do):
    with pytest.raises(RuntimeError):
        async with transaction(sessions) as session:
            after_commit(session, do("a"))
            raise RuntimeError
    assert done == []


async def test_a_savepoint_that_is_rolled_back_takes_its_own_along(sessions, done, do):
    async with transaction(sessions) as session:
        after_commit(session, do("before"))
        async with session.begin_nested():
            after_commit(session, do("released"))
        with pytest.raises(RuntimeError):
            async with session.begin_nested():
                after_commit(session, do("outer"))
                async with session.begin_nested():
                    after_commit(session, do("inner"))
                raise RuntimeError
        after_commit(session, do("after"))
        assert done == []
    assert done == ["before", "released", "after"]


async def test_a_savepoint_that_is_rolled_back_restores_the_tenant(sessions):
    outside, actor = uuid4(), uuid4()
    async with transaction(sessions, outside, actor) as session:
        with pytest.raises(RuntimeError):
            async with session.begin_nested():
                await bind_tenant(session, uuid4(), uuid4())
                raise RuntimeError
        assert bound_tenant(session) == (outside, actor)
        assert await session.scalar(text("select current_setting('app.tenant_id')")) == str(outside)
        async with session.begin_nested():
            inside = uuid4()
            await bind_tenant(session, inside)
        assert bound_tenant(session) == (inside, None)
        assert await session.scalar(text("select current_setting('app.tenant_id')")) == str(inside)


async def test_a_flush_that_fails_in_a_savepoint_takes_what_came_before_along(writing, done, do):
    async with transaction(writing, uuid4()) as session:
        after_commit(session, do("outside"))
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                after_commit(session, do("inside"))
                session.add(InboxRow(event_id=uuid4(), tenant_id=uuid4()))  # another tenant's: refused
                await session.flush()
    assert done == ["outside"]


async def test_an_action_that_fails_keeps_neither_the_others_nor_the_caller_from_going_on(sessions, done, do):
    def fail() -> None:
        raise RuntimeError

    async with transaction(sessions) as session:
        after_commit(session, fail)
        after_commit(session, do("a"))
    assert done == ["a"]


async def test_an_action_may_add_another(sessions, done, do):
    async with transaction(sessions) as session:
        after_commit(session, lambda: after_commit(session, do("b")))
    assert done == ["b"]


async def test_rows_that_cannot_be_written_are_not_forgotten(sessions):
    def fail(session: Session, rows: list[object]) -> None:
        raise RuntimeError(f"cannot write {rows}")

    with pytest.raises(RuntimeError, match=r"cannot write \[1, 2\]"):
        async with transaction(sessions) as session:
            commit_of(session).before(fail, [1, 2])
            with suppress(RuntimeError):
                await session.flush()


async def test_a_commit_that_the_database_turns_into_a_rollback_fails_and_does_nothing(sessions, done, do):
    with pytest.raises(DBAPIError):
        async with transaction(sessions) as session:
            after_commit(session, do("a"))
            with suppress(DBAPIError):
                await session.execute(text("select 1/0"))
    assert done == []
    async with transaction(sessions) as session:  # by the same connection
        after_commit(session, do("b"))
        assert await session.scalar(text("select 1")) == 1
    assert done == ["b"]


async def test_a_session_that_was_closed_does_nothing_of_the_transaction_before(sessions, done, do):
    async with sessions() as session:
        await session.execute(text("select 1"))
        after_commit(session, do("a"))
        await session.close()
        await session.execute(text("select 1"))
        after_commit(session, do("b"))
        await session.commit()
    assert done == ["b"]


async def test_a_lock_is_held_by_one_transaction_until_its_end(sessions, superuser):
    got: list[str] = []

    async def take(who: str) -> None:
        async with transaction(sessions) as session:
            await lock(session, "the name")
            got.append(who)

    async with transaction(sessions) as first, transaction(sessions) as other:
        await lock(first, "the name")
        await lock(other, "another name")
        second = asyncio.create_task(take("second"))
        await until_somebody_waits(superuser)
        assert got == []
    await second
    assert got == ["second"]
