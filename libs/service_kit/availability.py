"""Whether what a service depends on answers: one line when it stops, a count while it is away, one line when it is back.

That it is away is an expected state, which needs no stack, and no line for each request that finds it.
"""

import time
from typing import Any

from prometheus_client import Counter, Gauge
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from libs.observability import get_logger
from libs.observability.errors import type_name
from libs.observability.redaction import to_string

log = get_logger(__name__)

REPEAT_SECONDS = 60.0
SETTLED_SECONDS = 5.0
"""How long nothing must have failed before a success counts: a full pool serves some requests and refuses others."""
# SQLSTATEs of a server that cannot be reached: connection, too many of them, shutdown or start.
AWAY = ("08", "53300", "57P01", "57P02", "57P03")

UP = Gauge("dependency_up", "0 while the dependency does not answer, else 1", ["dependency"])
REFUSED = Counter(
    "dependency_refused_requests",
    "Requests and attempts of background work that failed since the dependency did not answer",
    ["dependency"],
)


class Dependency:
    """The state of one dependency, as those who use it report it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_away = False
        self._since = self._said = self._failed = 0.0
        self._refused = 0
        UP.labels(name).set(1)
        REFUSED.labels(name)

    def failed(self, error: BaseException) -> None:
        """Somebody could not use it."""
        now = self._failed = time.monotonic()
        REFUSED.labels(self.name).inc()
        if not self.is_away:
            self.is_away, self._since, self._said, self._refused = True, now, now, 0
            UP.labels(self.name).set(0)
            log.warning("a dependency does not answer", dependency=self.name, error=brief(error))
        elif now - self._said >= REPEAT_SECONDS:
            self._said = now
            log.warning("a dependency still does not answer", **self._facts(now))
        self._refused += 1

    def answered(self) -> None:
        """Somebody used it; those who fail at the same time may still be right."""
        if self.is_away and time.monotonic() - self._failed >= SETTLED_SECONDS:
            self.is_back()

    def is_back(self) -> None:
        """It answers, for certain."""
        if self.is_away:
            self.is_away = False
            UP.labels(self.name).set(1)
            log.info("a dependency answers again", **self._facts(time.monotonic()))

    def _facts(self, now: float) -> dict[str, Any]:
        return {"dependency": self.name, "refused": self._refused, "seconds": round(now - self._since, 1)}


DATABASE, POOL = Dependency("database"), Dependency("database pool")


def note(error: BaseException) -> bool:
    """Whether the error only says that the database is away or the pool is full; then it is counted."""
    if isinstance(error, PoolTimeout):
        POOL.failed(error)
    elif (isinstance(error, OSError) and error.filename is None) or (
        isinstance(error, DBAPIError) and is_lost_or(error, AWAY)
    ):
        DATABASE.failed(error)
    else:
        return False
    return True


def committed() -> None:
    """A transaction has been committed, so the database answers and the pool has connections."""
    DATABASE.answered()
    POOL.answered()


def brief(error: BaseException) -> dict[str, str]:
    """The error as a field of a line, without its stack; of a wrapped one, what the driver raised."""
    while isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if type(error).__module__.startswith("sqlalchemy.") and error.__cause__ is not None:
        error = error.__cause__
    return {"type": type_name(error), "message": to_string(error)}


def is_lost_or(error: DBAPIError, states: tuple[str, ...]) -> bool:
    """Whether the connection is lost, or the SQLSTATE begins with one of these."""
    return error.connection_invalidated or (getattr(error.orig, "sqlstate", None) or "").startswith(states)
