"""One tenant's rows are nobody else's, by PostgreSQL itself and not only by our queries."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession
from stack import postgres

from libs.contracts.budget import AccountOpened
from libs.service_kit.database import UnboundRole, create_engine
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.tables import OutboxRow
from libs.service_kit.transactions import bind_tenant, create_sessions, transaction
from tests.libs.service_kit.conftest import owner_url
from tests.libs.service_kit.probe.notes import Note

TenantSession = Callable[..., AbstractAsyncContextManager[AsyncSession]]
COUNT = select(func.count()).select_from(Note)


def note(tenant_id: UUID) -> Note:
    return Note(tenant_id=tenant_id, code=f"n-{uuid4().hex}", text="mine", amount=1)


@pytest.fixture
async def kept_note(tenant_session: TenantSession, tenant_id: UUID) -> Note:
    """A note of this test's tenant, committed."""
    async with tenant_session() as session:
        session.add(kept := note(tenant_id))
    return kept


async def test_a_tenant_sees_its_own_rows_only(tenant_session, kept_note):
    async with tenant_session() as session:
        assert await session.scalar(COUNT) == 1
    async with tenant_session(uuid4()) as session:
        assert await session.scalar(COUNT) == 0
        assert await session.get(Note, kept_note.id) is None


async def test_without_a_tenant_every_table_is_empty(sessions, kept_note):
    async with sessions.begin() as session:
        assert await session.scalar(COUNT) == 0


async def test_a_connection_that_served_a_tenant_is_clean_afterwards(make_settings, database_url, kept_note, tenant_id):
    """The setting is then the empty text and not NULL, which `current_tenant()` has to bear."""
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url("probe")), pool_size=1))
    try:
        async with engine.begin() as first:
            await first.execute(text("select set_config('app.tenant_id', :id, true)"), {"id": str(tenant_id)})
            assert await first.scalar(COUNT) == 1
        async with engine.begin() as second:
            assert await second.scalar(text("select current_setting('app.tenant_id', true)")) == ""
            assert await second.scalar(COUNT) == 0
    finally:
        await engine.dispose()


async def test_the_owner_of_the_tables_is_bound_too(postgres_server, kept_note):
    owner = await asyncpg.connect(owner_url(postgres_server).replace("+asyncpg", ""))
    try:
        assert await owner.fetchval("select count(*) from notes") == 0
    finally:
        await owner.close()


async def test_a_row_for_another_tenant_is_refused(tenant_session):
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with tenant_session() as session:
            session.add(note(uuid4()))


async def test_another_tenants_row_cannot_be_changed_or_removed(tenant_session, kept_note, superuser):
    async with tenant_session(uuid4()) as session:
        for statement in ("update notes set text = 'stolen'", "delete from notes"):
            await session.execute(text(statement))
    assert await superuser.fetchval("select text from notes where id = $1", kept_note.id) == "mine"


async def test_a_row_cannot_be_given_away(tenant_session, kept_note):
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with tenant_session() as session:
            await session.execute(text("update notes set tenant_id = uuidv7()"))


async def test_every_transaction_of_a_session_is_bound(sessions, kept_note, tenant_id):
    async with sessions(tenant_id=tenant_id) as session:
        for _ in range(2):
            assert await session.scalar(COUNT) == 1
            await session.commit()


async def test_the_tenant_outlives_a_savepoint_that_fails(sessions, kept_note, tenant_id):
    async with transaction(sessions, tenant_id) as session:
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await session.execute(text("select 1 / 0"))
        assert await session.scalar(COUNT) == 1


async def test_a_session_can_turn_to_another_tenant(sessions, kept_note, tenant_id):
    async with sessions.begin() as session:
        await bind_tenant(session, uuid4())
        assert await session.scalar(COUNT) == 0
        await bind_tenant(session, tenant_id)
        assert await session.scalar(COUNT) == 1


@pytest.mark.parametrize("statements", [0, 1])
async def test_a_connection_takes_no_tenant_along_into_the_pool(service_settings, tenant_id, kept_note, statements):
    """Whether the session has asked anything or not: the tenant is set with the BEGIN before its first statement."""
    engine = create_engine(service_settings.database.model_copy(update={"pool_size": 1}))
    try:
        async with transaction(create_sessions(engine, Outbox("probe", lambda _: [])), tenant_id) as session:
            await session.connection()
            for _ in range(statements):
                assert await session.scalar(COUNT) == 1
        async with engine.connect() as connection:
            assert await connection.scalar(COUNT) == 0
    finally:
        await engine.dispose()


async def test_the_first_transaction_of_every_new_connection_is_bound(service_settings, tenant_id, kept_note):
    """A connection is asked for its role as soon as it is there, which begins a transaction."""
    engine = create_engine(service_settings.database)
    own = create_sessions(engine, Outbox("probe", lambda _: []))
    try:
        async with transaction(own, tenant_id) as first, transaction(own, tenant_id) as second:
            assert [await session.scalar(COUNT) for session in (first, second)] == [1, 1]
    finally:
        await engine.dispose()


async def test_what_was_published_for_one_tenant_is_written_before_the_session_turns_to_another(
    writing, superuser, destination
):
    tenants = [uuid4(), uuid4()]
    async with transaction(writing) as session:
        for tenant_id in tenants:
            await bind_tenant(session, tenant_id)
            publish(session, AccountOpened(account_id=uuid4(), code="a", name="A"))
    rows = await superuser.fetch("select tenant_id from outbox where destination = $1 order by position", destination)
    assert [tenant_id for (tenant_id,) in rows] == tenants


async def test_the_outbox_is_read_by_the_relays_role_only(tenant_session):
    count = select(func.count()).select_from(OutboxRow)
    async with tenant_session() as session:
        publish(session, AccountOpened(account_id=uuid4(), code="a", name="A"))
    async with tenant_session() as session:
        assert await session.scalar(count) == 0
        await session.execute(text("set local role probe_relay"))
        assert await session.scalar(count) >= 1


async def test_the_relays_role_sees_nothing_but_the_kits_tables(tenant_session):
    with pytest.raises(ProgrammingError, match="permission denied for table notes"):
        async with tenant_session() as session:
            await session.execute(text("set local role probe_relay"))
            await session.scalar(COUNT)


async def test_the_outbox_takes_nothing_for_another_tenant(tenant_session):
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with tenant_session() as session:
            session.add(OutboxRow(event_id=uuid4(), destination="x", tenant_id=uuid4(), envelope={}, carrier={}))


async def test_a_role_above_row_level_security_is_refused(postgres_server):
    url = postgres.url(postgres_server, database="probe")
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    try:
        with pytest.raises(UnboundRole):
            async with engine.connect():
                pass
    finally:
        await engine.dispose()
