"""A request's transaction, and its `Commit`: the tenant and the actor, the rows to write before, the actions after."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from fastapi import Depends, Request
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction

from libs.observability import get_logger
from libs.service_kit import availability, tenancy
from libs.service_kit.auth import identify
from libs.service_kit.database import execute

log = get_logger(__name__)

Sessions = async_sessionmaker[AsyncSession]
Action = Callable[[], object]
Writer = Callable[[Session, list[Any]], None]


class _Before(NamedTuple):
    """The state of a `Commit` when a savepoint began."""

    actions: int
    tenant_id: UUID | None
    actor_id: UUID | None


@dataclass
class Commit:
    """The state of a session's transaction, which the session uses for one transaction after the other.

    A rollback, of a savepoint too, drops exactly the rows and actions that were added since it began. That of a savepoint
    restores the tenant and the actor as well, as PostgreSQL restores the setting that the tenant stands in.
    """

    tenant_id: UUID | None = None
    actor_id: UUID | None = None
    outbox: Any = None
    """The service's outbox, for `publish`. This module does not use it."""
    _before: dict[Writer, list[Any]] = field(default_factory=dict[Writer, list[Any]])
    _after: list[Action] = field(default_factory=list[Action])
    _savepoints: WeakKeyDictionary[SessionTransaction, _Before] = field(
        default_factory=WeakKeyDictionary[SessionTransaction, _Before]
    )

    def before(self, write: Writer, rows: Iterable[Any]) -> None:
        """Let `write` insert these rows at the next flush, at the latest before the commit, together with its others."""
        self._before.setdefault(write, []).extend(rows)

    def take(self, write: Writer) -> list[Any]:
        """Remove and return the rows that wait for this writer; the caller writes them instead."""
        return self._before.pop(write, [])

    def after(self, action: Action) -> None:
        """Call `action` after the commit, in the current context (trace, request)."""
        self._after.append(partial(copy_context().run, action))

    def write(self, session: Session) -> None:
        """Write the rows that wait."""
        while self._before:
            writer = next(iter(self._before))
            rows = self.take(writer)
            try:
                writer(session, rows)
            except BaseException:  # a caller that goes on all the same must not commit without these rows
                self._before[writer] = [*rows, *self.take(writer)]
                raise

    def begin_savepoint(self, savepoint: SessionTransaction) -> None:
        """Remember what a rollback of this savepoint restores."""
        self._savepoints[savepoint] = _Before(len(self._after), self.tenant_id, self.actor_id)

    def roll_back(self, savepoint: SessionTransaction | None) -> None:
        """Drop what was added since the savepoint, or without one the transaction, began."""
        if savepoint:
            before = self._savepoints[savepoint]
            del self._after[before.actions :]
            self.tenant_id, self.actor_id = before.tenant_id, before.actor_id
        else:
            self._after.clear()
        self._before.clear()  # it holds no older rows, since a flush precedes every savepoint

    def done(self) -> None:
        """Run the actions after the commit. One that fails is logged, since the transaction is committed."""
        while self._after:
            try:
                self._after.pop(0)()
            except Exception as error:
                log.error("an action after the commit failed", error=error)


class TenantSession(Session):
    """A session with its `Commit`, which the hooks below keep up to date."""

    def __init__(
        self,
        *given: Any,
        tenant_id: UUID | None = None,
        actor_id: UUID | None = None,
        outbox: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(*given, **others)
        self.pending = Commit(tenant_id, actor_id, outbox)

    def flush(self, objects: Any = None) -> None:
        super().flush(objects)
        self.pending.write(self)


@event.listens_for(TenantSession, "after_begin")
def _begin(session: TenantSession, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        tenancy.hand_over(connection, session.pending.tenant_id)


@event.listens_for(TenantSession, "after_transaction_create")
def _begin_savepoint(session: TenantSession, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.pending.begin_savepoint(transaction)


@event.listens_for(TenantSession, "before_commit")  # SQLAlchemy does not flush when no object has changed
def _write(session: TenantSession) -> None:
    session.pending.write(session)


@event.listens_for(TenantSession, "after_commit")
def _done(session: TenantSession) -> None:
    # SQLAlchemy also calls this when a savepoint is released, before the transaction is committed.
    if not session.in_nested_transaction():
        availability.database_answered()
        session.pending.done()


@event.listens_for(TenantSession, "after_transaction_end")
def _forget(session: TenantSession, transaction: SessionTransaction) -> None:
    if transaction.parent is None:  # closing a session ends its transaction without any other event
        session.pending.roll_back(None)


@event.listens_for(TenantSession, "after_rollback")
def _roll_back(session: TenantSession) -> None:
    session.pending.roll_back(session.get_nested_transaction())


def create_sessions(engine: AsyncEngine, outbox: Any = None) -> Sessions:
    """The factory of a service's sessions, which publish to `outbox`, an `events.outbox.Outbox`."""
    return async_sessionmaker(engine, sync_session_class=TenantSession, expire_on_commit=False, outbox=outbox)


def commit_of(session: AsyncSession) -> Commit:
    """The session's `Commit`."""
    assert isinstance(session.sync_session, TenantSession)
    return session.sync_session.pending


def after_commit(session: AsyncSession, action: Action) -> None:
    """Call `action` after the session's transaction is committed, unless it or the current savepoint is rolled back."""
    commit_of(session).after(action)


async def bind_tenant(session: AsyncSession, tenant_id: UUID, actor_id: UUID | None = None) -> None:
    """Switch the session to this tenant, for the rest of the open transaction and for later ones."""
    await session.flush()  # rows and events so far belong to the previous tenant
    await execute(session, tenancy.SWITCH, str(tenant_id))
    commit = commit_of(session)
    commit.tenant_id, commit.actor_id = tenant_id, actor_id


def bound_tenant(session: AsyncSession) -> tuple[UUID, UUID | None]:
    """The tenant that the session is bound to, and the actor."""
    commit = commit_of(session)
    assert commit.tenant_id, "the session is bound to no tenant"
    return commit.tenant_id, commit.actor_id


async def lock(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction holds the lock of this name, then hold it until this one, or its savepoint, ends.

    It guards a rule about rows that do not exist yet or that move, which a lock of rows cannot. Two names with the same
    64-bit hash only wait for each other.
    """
    await execute(session, "select pg_advisory_xact_lock(hashtextextended($1, 0))", name)


@asynccontextmanager
async def transaction(
    sessions: Sessions, tenant_id: UUID | None = None, actor_id: UUID | None = None
) -> AsyncGenerator[AsyncSession]:
    """One transaction for a tenant, which commits at the end of the block and rolls back on any exception."""
    async with sessions(tenant_id=tenant_id, actor_id=actor_id) as session, session.begin():
        yield session


def get_sessions(request: Request) -> Sessions:
    """The session factory, for the few routes that control their own transactions."""
    return request.state.sessions


async def open_session(request: Request) -> AsyncGenerator[AsyncSession]:
    """The caller's transaction, bound to the caller's tenant."""
    caller = await identify(request)
    sessions: Sessions = request.state.sessions
    async with sessions(tenant_id=caller.tenant_id, actor_id=caller.id) as session, session.begin():
        yield session


# scope="function": the commit precedes the answer, so a failing commit is answered with an error and never with 201.
DatabaseSession = Annotated[AsyncSession, Depends(open_session, scope="function")]
