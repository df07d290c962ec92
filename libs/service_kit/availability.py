"""Tracks whether a service's dependencies answer: a line when one stops, a count while it is away, a line when back.

That a dependency is away is an expected state: it needs no stack, and no line for each request that it fails.
"""

import time
from typing import Any

from asyncpg.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
    InvalidCachedStatementError,
    OutdatedSchemaCacheError,
)
from prometheus_client import Counter, Gauge
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from libs.observability import get_logger
from libs.observability.errors import type_name
from libs.observability.redaction import to_string

log = get_logger(__name__)

REPEAT_SECONDS = 60.0
SETTLED_SECONDS = 5.0
"""How long nothing must have failed before a success counts: a server that is full serves some and refuses others."""
AWAY = ("08", "28", "3D000", "53300", "57P01", "57P02", "57P03")
"""SQLSTATEs of a server that lets nobody in, or not us: connection, password, no database, too many, shutdown, start."""
REFUSED_NOW = ("40001", "40P01", "53", "55P03")
"""SQLSTATEs of a transaction that is refused now: serialization, deadlock, resources, lock time-out."""
ENDED = ("57014",)
"""The SQLSTATE of a statement that took too long. A request may try it again; an event's would do so for ever."""

UP = Gauge("dependency_up", "1 while the dependency answers; 0 until it has answered once", ["dependency"])
REFUSED = Counter(
    "dependency_refused_requests",
    "Requests and attempts of background work that failed since the dependency did not answer",
    ["dependency"],
)


class Dependency:
    """The state of one dependency, as its users report it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_up = False
        self._since = self._said = 0.0
        self._failed = float("-inf")
        self._refused = 0
        UP.labels(name).set(0)
        REFUSED.labels(name)

    def failed(self, error: BaseException) -> None:
        """The dependency has failed somebody."""
        now = self._failed = time.monotonic()
        REFUSED.labels(self.name).inc()
        if not self._refused:
            self._since = self._said = now
            log.warning("a dependency does not answer", dependency=self.name, error=brief(error))
        elif now - self._said >= REPEAT_SECONDS:
            self._said = now
            log.warning("a dependency still does not answer", **self._facts(now))
        self._refused += 1
        self._show(False)

    def answered(self) -> None:
        """The dependency has served somebody. It counts as back once nobody has been failed for some seconds."""
        if not self._is_up and time.monotonic() - self._failed >= SETTLED_SECONDS:
            self.is_back()

    def is_back(self) -> None:
        """The dependency answers, for certain."""
        if self._refused:
            log.info("a dependency answers again", **self._facts(time.monotonic()))
            self._refused = 0
        self._show(True)

    def left(self) -> None:
        """This process has closed its connection, so that it no longer knows whether the dependency answers."""
        self._show(False)

    def _show(self, is_up: bool) -> None:
        self._is_up = is_up
        UP.labels(self.name).set(is_up)

    def _facts(self, now: float) -> dict[str, Any]:
        return {"dependency": self.name, "refused": self._refused, "seconds": round(now - self._since, 1)}


class Failures:
    """Logs the errors of work that is tried again and again: one line a minute for each type.

    A line's `failures` says how many of its type were left out since the line before. Errors of the operating system, of
    the database and of the `expected` types are logged without a stack.
    """

    def __init__(self, message: str, *expected: type[Exception]) -> None:
        self._message = message
        self._expected = (OSError, SQLAlchemyError, *expected)
        self._said: dict[str, tuple[float, int]] = {}

    def tell(self, error: BaseException, **facts: Any) -> None:
        """Log the error, unless one of its type has been logged within the last minute."""
        now, told = time.monotonic(), brief(error)
        said, left_out = self._said.get(told["type"], (float("-inf"), 0))
        if now - said < REPEAT_SECONDS:
            self._said[told["type"]] = said, left_out + 1
            return
        self._said[told["type"]] = now, 0
        if left_out:
            facts["failures"] = left_out
        if isinstance(error, self._expected):
            log.warning(self._message, error=told, **facts)
        else:
            log.error(self._message, error=error, **facts)

    def begin_anew(self) -> None:
        """The work has succeeded: the next error is the first one."""
        self._said.clear()


DATABASE = Dependency("database")
REFUSALS = Failures("the database refused the transaction")


def note(error: BaseException) -> bool:
    """Report a transient error of the database; False if the error is of another kind.

    A database that is away and transactions that are refused are each a line, and then a count.
    """
    if (isinstance(error, OSError) and error.filename is None) or _says(error, AWAY):
        DATABASE.failed(error)
    elif is_passing(error) or _says(error, ENDED):
        REFUSALS.tell(error)
    else:
        return False
    return True


def is_passing(error: BaseException) -> bool:
    """Whether the database or a full pool has failed for the moment: the same statement may succeed a little later.

    It will also succeed after a migration that has changed a type: a connection that knows the old type fails once.
    """
    cause = getattr(getattr(error, "orig", None), "__cause__", None)
    is_outdated = isinstance(cause, (InvalidCachedStatementError, OutdatedSchemaCacheError))
    return is_outdated or isinstance(error, PoolTimeout) or _says(error, AWAY + REFUSED_NOW)


def _says(error: BaseException, states: tuple[str, ...]) -> bool:
    """Whether the connection is lost, or the SQLSTATE begins with one of these."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or (getattr(error.orig, "sqlstate", None) or "").startswith(states)
    )


def database_answered() -> None:
    """Report that the database has answered, on a connection of the pool."""
    DATABASE.answered()


def brief(error: BaseException) -> dict[str, str]:
    """The error as a field of a line, without its stack. For an error of SQLAlchemy it is what the driver raised."""
    while isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if type(error).__module__.startswith("sqlalchemy.") and error.__cause__ is not None:
        error = error.__cause__
    return {"type": type_name(error), "message": to_string(error)}
