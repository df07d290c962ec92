"""The service's database: its engine and pools, and a fast path for the kit's own statements."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, cast

from asyncpg.exceptions import ClientConfigurationError  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from libs.observability.sql import instrument_engine, timed
from libs.service_kit import tenancy
from libs.service_kit.availability import brief
from libs.service_kit.fair_pool import FairPool
from libs.service_kit.settings import DatabaseSettings, ServiceSettings, cannot_start

LOCK_TIMEOUT = "3s"
"""How long a statement waits for a lock; also the second of two concurrent requests with one idempotency key."""
STATEMENT_TIMEOUT = "4s"
"""How long a statement may take, waits for locks included, before the server ends it."""
IDLE_TIMEOUT = "30s"
"""How long a transaction may do nothing, and hold its locks: a relay waits for its receiver for up to 25 seconds."""
COMMAND_SECONDS = 5.0
"""How long the answer to a statement is awaited. Later than that, the server hangs, and the connection is dropped."""
CONNECT_SECONDS = 3.0
REFUSED = ("28", "3D000", "42501")
"""SQLSTATEs of a server that refuses the user, the password or the database."""


class UnboundRole(ConnectionError):
    """The role bypasses row-level security: every tenant would see the rows of all others."""

    def __init__(self) -> None:
        super().__init__("this role bypasses row-level security; use the service's own role")


def check_database(settings: ServiceSettings) -> None:
    """Exit with one line that names `DATABASE__URL` if the server refuses it; a server that is away may come later."""
    loop = asyncio.new_event_loop()
    try:
        wrong = loop.run_until_complete(_refusal_now(settings.database))
    finally:
        loop.close()  # unlike `asyncio.run`, without waiting for the resolver, which may think for long about a name
    if wrong:
        cannot_start(type(settings), f"DATABASE__URL: {' '.join(wrong['message'].split())}")


async def _refusal_now(settings: DatabaseSettings) -> dict[str, str] | None:
    engine = create_pool(settings, 1)
    try:
        async with asyncio.timeout(CONNECT_SECONDS), engine.connect():
            return None
    except Exception as error:
        return refusal(error)
    finally:
        await engine.dispose()


def refusal(error: BaseException) -> dict[str, str] | None:
    """What the server says against `DATABASE__URL`, as `availability.brief`; None if it is away or has another reason."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    is_ours = (
        isinstance(cause, UnboundRole | ssl.SSLCertVerificationError)
        or isinstance(getattr(cause, "__cause__", None), ClientConfigurationError)
        or (getattr(cause, "sqlstate", None) or "").startswith(REFUSED)
        # asyncpg has no type for this, and the same one for a connection that is lost at this point.
        or (isinstance(cause, ConnectionError) and "rejected SSL upgrade" in str(cause))
    )
    return brief(error) if is_ours else None


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """The pool of the requests, which tenants share fairly. Who would wait longer than the time-out gets a 503 at once."""
    name = make_url(settings.url.get_secret_value()).database
    engine = create_pool(settings, settings.pool_size, poolclass=FairPool, pool_logging_name=name)
    instrument_engine(engine, max_overflow=0)
    return engine


def create_pool(settings: DatabaseSettings, size: int, **more: Any) -> AsyncEngine:
    """A pool of `size` connections; work that holds a connection for long has one of its own. `more` is for SQLAlchemy."""
    engine = create_async_engine(
        settings.url.get_secret_value(),
        pool_size=size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
        connect_args={
            # A batch of a hundred events has as many savepoints, each with a name of its own.
            "prepared_statement_cache_size": 500,
            "connection_class": tenancy.TenantConnection,
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": {
                "lock_timeout": LOCK_TIMEOUT,
                "statement_timeout": STATEMENT_TIMEOUT,
                "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
            },
        },
        **more,
    )
    event.listen(engine.sync_engine, "connect", _refuse_unbound_role)
    event.listen(engine.sync_engine, "handle_error", _drop_if_hung)
    tenancy.forget_on_return(engine)
    return engine


def _refuse_unbound_role(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
    if cursor.fetchone()[0]:
        raise UnboundRole
    cursor.close()
    connection.rollback()  # ends the transaction that the query began: the first session sets its tenant with its own BEGIN


def _drop_if_hung(context: ExceptionContext) -> None:
    """Close a connection on which an answer has been awaited in vain, without the farewell that it would await as well."""
    if isinstance(context.original_exception, TimeoutError) and context.connection:
        context.is_disconnect = True
        _hang_up(context.connection)


def _hang_up(connection: Connection) -> None:
    if not connection.invalidated:
        cast("Any", connection.connection).driver_connection.terminate()


async def execute(session: AsyncSession, statement: str, *given: Any) -> Sequence[Any]:
    """Run one of the kit's own statements, with parameters `$1`, `$2` …, and return its rows, indexed by column name.

    For statements that every request runs. Only a slow or failed one makes a span, so that a trace shows the statements
    of a rule, and what held it up.
    """
    return await session.run_sync(execute_now, statement, *given)


def execute_now(session: Session, statement: str, *given: Any) -> Sequence[Any]:
    """`execute` for a hook of the session, which cannot await.

    It uses the driver's cursor, at half the cost of SQLAlchemy's own path, and raises the same exceptions.
    """
    connection = session.connection()
    dialect, proxied = cast("Any", connection.dialect), connection.connection
    cursor = proxied.cursor()
    try:
        timed(connection, statement, lambda: cursor.execute(statement, given))
        return cursor.fetchall() if cursor.description else ()
    except TimeoutError as error:
        _hang_up(connection)
        connection.invalidate(error)
        raise
    except dialect.dbapi.Error as error:
        is_lost: bool = dialect.is_disconnect(error, proxied.dbapi_connection, cursor)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError(statement, None, error, connection_invalidated=is_lost) from error
    except BaseException as error:  # after a time-out or a cancellation, the state of the connection is unknown
        connection.invalidate(error)
        raise
    finally:
        cursor.close()


async def as_relay(session: AsyncSession, service: str, also: str = "null", *given: Any) -> Any:
    """Switch to the relay's role, which sees the outbox of all tenants, until the transaction ends.

    `also` is an SQL expression, whose parameters begin with `$2`. It is evaluated in the same round trip and returned.
    """
    statement = f"select set_config('role', $1, true), {also} as also"
    [row] = await execute(session, statement, f"{service}_relay", *given)
    return row["also"]
