"""What is done once a transaction is committed, and never if it is not: counting, above all."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from libs.service_kit.database import TenantSession

Action = Callable[[], object]


def after_commit(session: AsyncSession, action: Action) -> None:
    """Call this when the session's transaction has been committed; not if it, or the savepoint around, is rolled back."""
    _actions(session.sync_session).append(action)


def _actions(session: Session) -> list[Action]:
    return session.info.setdefault("after_commit", [])


def _savepoints(session: Session) -> WeakKeyDictionary[SessionTransaction, int]:
    """How many actions there were when a savepoint was set."""
    return session.info.setdefault("savepoints", WeakKeyDictionary())


@event.listens_for(TenantSession, "after_transaction_create")
def _begin(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        _savepoints(session)[transaction] = len(_actions(session))


@event.listens_for(TenantSession, "after_rollback")
def _forget(session: Session) -> None:
    savepoint = session.get_nested_transaction()
    if savepoint is None:
        _actions(session).clear()
    else:
        del _actions(session)[_savepoints(session)[savepoint] :]


@event.listens_for(TenantSession, "after_commit")
def _act(session: Session) -> None:
    if not session.in_nested_transaction():
        for action in session.info.pop("after_commit", ()):
            action()
