"""The service's database: one transaction a request, and every transaction bound to one tenant.

Row-level security reads the tenant from the setting `app.tenant_id`, which lives as long as the transaction. The session
class sets it at the start of each transaction, so no query can run before it; without a tenant every table is empty.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, cast
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from fastapi import Depends, Request
from sqlalchemy import Connection, DateTime, MetaData, Numeric, Text, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, Session, SessionTransaction, declared_attr, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from libs.observability.sql import instrument_engine
from libs.service_kit.auth import identify
from libs.service_kit.outbox import ADD, Outbox, forget_published, take_published
from libs.service_kit.settings import DatabaseSettings

Sessions = async_sessionmaker[AsyncSession]

# Names that a migration can drop and `create_app(conflicts=…)` can look up.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
LOCK_TIMEOUT = "5s"
"""How long a statement waits for another transaction: also the second of two requests with one idempotency key."""
COLUMN_TYPES: dict[Any, Any] = {str: Text(), datetime: DateTime(timezone=True), Decimal: Numeric(14, 2)}


def new_metadata() -> MetaData:
    """The metadata of one service: five services in one process must not see each other's tables."""
    return MetaData(naming_convention=NAMING)


class Entity:
    """The columns of everything that a tenant owns and people change, with optimistic locking by `version`."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[UUID] = mapped_column(sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), onupdate=text("now()"))
    version: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.version, "eager_defaults": True}  # type: ignore[attr-defined]


class TenantSession(Session):
    """The session class that the hooks below listen to. What is published is written with everything else."""

    def flush(self, objects: Any = None) -> None:
        super().flush(objects)
        _write(self)


@event.listens_for(TenantSession, "before_commit")  # when no object has changed, SQLAlchemy does not flush
def _write(session: Session) -> None:
    if rows := take_published(session):
        execute_now(session, ADD, rows)


class TenantConnection(asyncpg.Connection):
    """A connection that sets the tenant in the same round trip as BEGIN, which asyncpg sends before the first statement.

    Should asyncpg one day begin in other words, no tenant is set, and every table is empty.
    """

    tenant_id: UUID | None = None

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if query != "BEGIN;":
            return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
        if self.tenant_id:
            query = f"BEGIN; select set_config('app.tenant_id', '{self.tenant_id}', true)"
        try:
            return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
        except BaseException:
            # The server may have begun a transaction of this tenant, in which the next one would find itself.
            self.terminate()
            raise


@event.listens_for(TenantSession, "after_begin")
def _bind(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        cast("TenantConnection", connection.connection.driver_connection).tenant_id = session.info.get("tenant_id")


def _unbind(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    if connection is not None:
        cast("Any", connection).driver_connection.tenant_id = None


@event.listens_for(TenantSession, "after_commit")
def _wake_relay(session: Session) -> None:
    # SQLAlchemy also calls this when a savepoint is released: too early, for nobody else can see its rows yet.
    if not session.in_nested_transaction():
        session.info["outbox"].wake(session.info.pop("wake", ()))


@event.listens_for(TenantSession, "after_rollback")
def _forget_published(session: Session) -> None:
    forget_published(session)
    if not session.in_nested_transaction():
        session.info.pop("wake", None)


async def execute(session: AsyncSession, statement: str, *given: Any) -> Sequence[Any]:
    """Run a statement of the kit's own, in PostgreSQL's words with `$1`, `$2` …; its rows, whose columns have names.

    For what every request does. It leaves no span, which would stand beside each statement of a rule.
    """
    return await session.run_sync(execute_now, statement, *given)


def execute_now(session: Session, statement: str, *given: Any) -> Sequence[Any]:
    """The same from within a hook of the session.

    It goes to the driver's cursor, which costs half of SQLAlchemy's own way there, and raises as that way would.
    """
    connection = session.connection()
    dialect, proxied = cast("Any", connection.dialect), connection.connection
    cursor = proxied.cursor()
    try:
        cursor.execute(statement, given)
        return cursor.fetchall() if cursor.description else ()
    except dialect.dbapi.Error as error:
        is_lost: bool = dialect.is_disconnect(error, proxied.dbapi_connection, cursor)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError(statement, None, error, connection_invalidated=is_lost) from error
    except BaseException as error:  # a time-out, a cancellation: nobody knows what the server has done
        connection.invalidate(error)
        raise
    finally:
        cursor.close()


async def bind_tenant(session: AsyncSession, tenant_id: UUID, actor_id: UUID | None = None) -> None:
    """Work for this tenant from here on, in the transaction that is open and in later ones."""
    await session.flush()  # what has been written and published so far is the tenant's before
    session.info.update(tenant_id=tenant_id, actor_id=actor_id)
    await execute(session, "select set_config('app.tenant_id', $1, true)", str(tenant_id))


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """The pool of the requests, whose connections are all usable at once: further ones wait, and past the time-out get a 503."""
    engine = create_pool(settings, settings.pool_size)
    instrument_engine(engine)
    return engine


def create_pool(settings: DatabaseSettings, size: int) -> AsyncEngine:
    """A pool beside that of the requests, for work that holds a connection for long."""
    engine = create_async_engine(
        settings.url.get_secret_value(),
        pool_size=size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        pool_pre_ping=False,
        connect_args={
            # A batch of a hundred events has as many savepoints, each with a name of its own.
            "prepared_statement_cache_size": 500,
            "connection_class": TenantConnection,
            "timeout": 5,
            "command_timeout": 30,
            "server_settings": {"lock_timeout": LOCK_TIMEOUT},
        },
    )
    event.listen(engine.sync_engine, "connect", _refuse_unbound_role)
    event.listen(engine.sync_engine, "checkin", _unbind)
    return engine


def _refuse_unbound_role(connection: Any, _: object) -> None:
    """No connection as a role that stands above row-level security: with it every tenant would see every other."""
    cursor = connection.cursor()
    cursor.execute("select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
    if cursor.fetchone()[0]:
        raise RuntimeError("DATABASE__URL: this role bypasses row-level security; use the service's own role")
    cursor.close()
    connection.rollback()  # the question has begun a transaction, and the first session's BEGIN is to set its tenant


def create_sessions(engine: AsyncEngine, outbox: Outbox) -> Sessions:
    """The factory of this service's sessions; what they publish goes to this outbox."""
    return async_sessionmaker(engine, sync_session_class=TenantSession, expire_on_commit=False, info={"outbox": outbox})


@asynccontextmanager
async def transaction(
    sessions: Sessions, tenant_id: UUID | None = None, actor_id: UUID | None = None
) -> AsyncGenerator[AsyncSession]:
    """One transaction for a tenant: commits at the end, rolls back on any exception."""
    async with sessions(info={"tenant_id": tenant_id, "actor_id": actor_id}) as session, session.begin():
        yield session


def get_sessions(request: Request) -> Sessions:
    """The factory itself, for the few routes that decide about transactions on their own."""
    return request.state.sessions


async def open_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """The caller's transaction, bound to the caller's tenant."""
    caller = await identify(request)
    info = {"tenant_id": caller.tenant_id, "actor_id": caller.id}
    async with request.state.sessions(info=info) as session, session.begin():
        yield session


# scope="function": the commit comes before the answer leaves, so a failing commit is a 500 and never a 201.
DatabaseSession = Annotated[AsyncSession, Depends(open_session, scope="function")]
