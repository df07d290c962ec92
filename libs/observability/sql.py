"""A span and a duration for each SQL statement, commit and new connection, and gauges for the pool, by hooks of the engine."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from time import perf_counter, time_ns
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, ref

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from prometheus_client import Histogram
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import Dialect, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from .errors import type_name
from .metrics.families import DB_DURATION, DB_POOL_CONNECTIONS, DB_POOL_LIMIT
from .sql_text import LONGEST_STATEMENT, QUOTED_TWICE, summary_of, without_literals
from .traces.attributes import Shared
from .traces.clients import is_traced
from .traces.scope import get_tracer

# Statements that only control the transaction get no span.
TRANSACTION_CONTROL = frozenset(("SET", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "BEGIN"))
# The values of the label `operation`; any other counts as the last.
OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "COMMIT", "ROLLBACK", "CONNECT", "OTHER")
SLOW_SECONDS = 0.01
"""From here on a statement that `timed` runs leaves a span after all."""
WROTE = "wrote"


# While SQLAlchemy opens a connection, its dialect asks the server about itself: that is nobody's statement.
_connecting: ContextVar[bool] = ContextVar("connecting", default=False)
_hooks: WeakKeyDictionary[Engine, "_Hooks"] = WeakKeyDictionary()
Result = TypeVar("Result")


class _Kind(NamedTuple):
    """What runs of the same statement have in common."""

    name: str
    attributes: Shared
    duration: Histogram
    writes: bool


def instrument_engine(engine: AsyncEngine, provider: TracerProvider | None = None, *, max_overflow: int = 10) -> None:
    """Traces and times what an engine does, and shows its pool under the name of the database.

    A statement becomes a span only within a trace: what a background task asks every second would be noise. Its SQL
    is recorded, its parameters are not. The end of a transaction becomes one if it wrote. `max_overflow` is what
    `create_engine` was given, by default SQLAlchemy's own default: an engine does not show it.
    """
    # Events of the dialect, not of the engine: those make SQLAlchemy prepare for listeners at each connection and
    # transaction too, which costs several times what the spans do.
    sync_engine = engine.sync_engine
    hooks = _hooks[sync_engine] = _Hooks(sync_engine, get_tracer(__name__, provider))
    for name in ("do_execute", "do_execute_no_params", "do_executemany", "do_connect"):
        event.listen(sync_engine, name, getattr(hooks, name))
    event.listen(sync_engine, "connect", _connected)
    event.listen(sync_engine, "checkout", _connected)  # after a connection that another listener has refused
    # Of a commit there is an event before it, and none after.
    dialect: Any = sync_engine.dialect
    dialect.do_commit = partial(hooks.end_transaction, "COMMIT", dialect.do_commit)
    dialect.do_rollback = partial(hooks.end_transaction, "ROLLBACK", dialect.do_rollback)
    _show_pool(sync_engine, max_overflow)


def timed(connection: Connection, statement: str, run: Callable[[], Result]) -> Result:
    """Runs a statement on the driver's cursor. It is timed, and becomes a span only if it is slow or fails."""
    hooks = _hooks.get(connection.engine)
    return hooks.timed(connection.connection, statement, run) if hooks else run()


def _connected(*_: object) -> None:
    _connecting.set(False)


class _Hooks:
    def __init__(self, engine: Engine, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        url = engine.url
        known = {
            "db.system.name": engine.dialect.name,
            "db.namespace": url.database,
            "server.address": url.host,
            "server.port": url.port,
        }
        self._attributes = {name: value for name, value in known.items() if value is not None}
        self._durations = {each: DB_DURATION.labels(url.database or "unknown", each) for each in OPERATIONS}
        self._is_quoted_twice = engine.dialect.name in QUOTED_TWICE
        # A service says the same few statements again and again.
        self._described = lru_cache(maxsize=512)(self._describe)
        self._control = {name: self._kind(name) for name in ("CONNECT", "COMMIT", "ROLLBACK")}

    # Each executes the statement itself: True tells SQLAlchemy that this has happened.

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        return self._run(context, statement, context.dialect.do_execute, cursor, statement, parameters, context)

    def do_execute_no_params(self, cursor: Any, statement: str, context: ExecutionContext) -> bool:
        return self._run(context, statement, context.dialect.do_execute_no_params, cursor, statement, context)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        execute = context.dialect.do_executemany
        more = {"db.operation.batch.size": len(parameters)}
        return self._run(context, statement, execute, cursor, statement, parameters, context, more=more)

    def do_connect(
        self, dialect: Dialect, _: object, arguments: Sequence[Any], more: Mapping[str, Any]
    ) -> DBAPIConnection:
        connection = self._measure(self._control["CONNECT"], lambda: dialect.connect(*arguments, **more))
        _connecting.set(True)
        return connection

    def end_transaction(self, name: str, end: Callable[[Any], None], connection: PoolProxiedConnection) -> None:
        """A commit waits for the disk and checks what was deferred; without a write there is nothing to wait for."""
        if not _connecting.get() and connection.info.pop(WROTE, False):
            self._measure(self._control[name], lambda: end(connection))
        else:
            end(connection)

    def timed(self, connection: PoolProxiedConnection, statement: str, run: Callable[[], Result]) -> Result:
        kind = self._kind_of(statement)
        if kind is None:
            return run()
        if kind.writes:
            connection.info[WROTE] = True
        return self._measure(kind, run, only_if_slow=True)

    def _run(
        self,
        context: ExecutionContext,
        statement: str,
        execute: Callable[..., None],
        *arguments: Any,
        more: Mapping[str, int] | None = None,
    ) -> bool:
        if _connecting.get() or (kind := self._kind_of(statement)) is None:
            return False
        if kind.writes:
            context.root_connection.connection.info[WROTE] = True
        self._measure(kind, lambda: execute(*arguments), more)
        return True

    def _measure(
        self,
        kind: _Kind,
        run: Callable[[], Result],
        more: Mapping[str, int] | None = None,
        *,
        only_if_slow: bool = False,
    ) -> Result:
        """Times it, as a span too: always, or only if it is slow or fails."""
        span = None if only_if_slow else self._span(kind, more)
        began, started = time_ns(), perf_counter()
        failure: BaseException | None = None
        try:
            return run()
        except BaseException as error:
            failure = error
            raise
        finally:
            seconds = perf_counter() - started
            kind.duration.observe(seconds)
            if only_if_slow and (failure or seconds >= SLOW_SECONDS):
                span = self._span(kind, start_time=began)
            _end(span, failure)

    def _span(
        self, kind: _Kind, more: Mapping[str, int] | None = None, start_time: int | None = None
    ) -> trace.Span | None:
        if not is_traced():
            return None
        attributes = {**kind.attributes, **more} if more else kind.attributes
        return self._tracer.start_span(kind.name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_time)

    def _kind_of(self, statement: str) -> _Kind | None:
        # A text that is too long to be kept is described each time.
        return self._described(statement) if len(statement) <= LONGEST_STATEMENT else self._describe(statement)

    def _describe(self, statement: str) -> _Kind | None:
        """What runs of this statement have in common; None for what only controls the transaction."""
        operation, table = summary_of(statement)
        if operation in TRANSACTION_CONTROL:
            return None
        return self._kind(operation, table, statement[:LONGEST_STATEMENT])

    def _kind(self, operation: str, table: str = "", statement: str = "") -> _Kind:
        attributes = {
            **self._attributes,
            "db.operation.name": operation,
            "db.query.summary": f"{operation} {table}".rstrip(),
            "db.query.text": without_literals(statement, self._is_quoted_twice),
            "db.collection.name": table,
        }
        return _Kind(
            name=f"{operation} {table or self._attributes.get('db.namespace', '')}".rstrip(),
            attributes=Shared({name: value for name, value in attributes.items() if value != ""}),
            duration=self._durations.get(operation, self._durations["OTHER"]),
            writes=operation != "SELECT",
        )


def _end(span: trace.Span | None, failure: BaseException | None) -> None:
    if span is None:
        return
    if failure is not None:
        state = getattr(failure, "sqlstate", None)
        span.set_status(Status(StatusCode.ERROR))
        # The adapter that makes asyncpg a DBAPI raises exceptions of its own, each from the driver's.
        is_adapter = type(failure).__module__.startswith("sqlalchemy.")
        span.set_attribute("error.type", type_name(failure.__cause__ or failure if is_adapter else failure))
        if state:
            span.set_attribute("db.response.status_code", str(state))
    span.end()


def _show_pool(engine: Engine, max_overflow: int) -> None:
    if not isinstance(engine.pool, QueuePool):
        return
    name = engine.url.database or "unknown"
    held = ref(engine)  # a gauge must not keep a disposed engine alive

    def pool() -> QueuePool | None:
        current = held()
        return current.pool if current is not None and isinstance(current.pool, QueuePool) else None

    DB_POOL_CONNECTIONS.labels(name, "in_use").set_function(lambda: p.checkedout() if (p := pool()) else 0)
    DB_POOL_CONNECTIONS.labels(name, "idle").set_function(lambda: p.checkedin() if (p := pool()) else 0)
    DB_POOL_LIMIT.labels(name).set_function(lambda: p.size() + max(0, max_overflow) if (p := pool()) else 0)
