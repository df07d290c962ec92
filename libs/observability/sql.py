"""A span for each SQL statement and gauges for the pool, by hooks of the SQLAlchemy engine."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from weakref import ref

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from .errors import type_name
from .metrics.families import DB_POOL_CONNECTIONS, DB_POOL_LIMIT
from .traces.attributes import Shared

LONGEST_STATEMENT = 4096
FIRST_TABLE = re.compile(r'\b(?:from|into|update)\s+(?:only\s+)?"?(\w[\w.]{0,126})', re.IGNORECASE)
# Statements that only control the transaction get no span.
TRANSACTION_CONTROL = frozenset(("SET", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "BEGIN"))
LONGEST_OPERATION = 64
# What these write in double quotes is a string, and its backslashes count.
QUOTED_TWICE = frozenset(("mysql", "mariadb"))
# A literal ends where the text is cut. Comments and names come first, since they may hold a quote.
_TOKENS = (
    r"(?P<kept>{names}|\$\d+)|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)"
    r"|\b[eE]'(?:[^'\\]|\\.)*(?:'|\Z)|(?:\b(?:[xXbBnN]|[uU]&))?(?:{strings})|(?<![\w.$:])\.?\d[\w.]*"
)
TOKENS = re.compile(_TOKENS.format(names=r'"[^"]*(?:"|\Z)', strings=r"(?:'[^']*(?:'|\Z))+"), re.DOTALL)
TOKENS_QUOTED_TWICE = re.compile(
    _TOKENS.format(names=r"`[^`]*(?:`|\Z)", strings=r"""(?:'(?:[^'\\]|\\.)*(?:'|\Z))+|(?:"(?:[^"\\]|\\.)*(?:"|\Z))+"""),
    re.DOTALL,
)


# While SQLAlchemy opens a connection, its dialect asks the server about itself: that is nobody's statement.
_connecting: ContextVar[bool] = ContextVar("connecting", default=False)


def instrument_engine(engine: AsyncEngine, provider: TracerProvider | None = None, *, max_overflow: int = 10) -> None:
    """Traces the statements of an engine and shows its pool under the name of the database.

    A statement becomes a span only within a trace: what a background task asks every second would be noise. Its SQL
    is recorded, its parameters are not. `max_overflow` is what `create_engine` was given, by default SQLAlchemy's own
    default: an engine does not show it.
    """
    # Events of the dialect, not of the engine: those make SQLAlchemy prepare for listeners at each connection and
    # transaction too, which costs several times what the spans do.
    sync_engine = engine.sync_engine
    hooks = _Hooks(sync_engine, trace.get_tracer(__name__, tracer_provider=provider))
    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        event.listen(sync_engine, name, getattr(hooks, name))
    event.listen(sync_engine, "do_connect", _connect)
    event.listen(sync_engine, "connect", _connected)
    _show_pool(sync_engine, max_overflow)


def _connect(dialect: Dialect, _: object, arguments: Sequence[Any], more: Mapping[str, Any]) -> DBAPIConnection:
    connection = dialect.connect(*arguments, **more)
    _connecting.set(True)
    return connection


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
        self._is_quoted_twice = engine.dialect.name in QUOTED_TWICE
        # A service says the same few statements again and again.
        self._described = lru_cache(maxsize=512)(self._describe)

    # Each executes the statement itself when it gets a span: True tells SQLAlchemy that this has happened.

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        span = self._start(statement)
        return span is not None and _run(span, context.dialect.do_execute, cursor, statement, parameters, context)

    def do_execute_no_params(self, cursor: Any, statement: str, context: ExecutionContext) -> bool:
        span = self._start(statement)
        return span is not None and _run(span, context.dialect.do_execute_no_params, cursor, statement, context)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        span = self._start(statement, {"db.operation.batch.size": len(parameters)})
        return span is not None and _run(span, context.dialect.do_executemany, cursor, statement, parameters, context)

    def _start(self, statement: str, more: Mapping[str, int] | None = None) -> Span | None:
        describe = self._described if len(statement) <= LONGEST_STATEMENT else self._describe
        if not is_instrumentation_enabled() or not trace.get_current_span().get_span_context().is_valid:
            return None
        if _connecting.get() or (described := describe(statement)) is None:
            return None
        name, attributes = described
        if more:
            attributes = {**attributes, **more}
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def _describe(self, statement: str) -> tuple[str, Shared] | None:
        """Name and attributes of its span; None for what gets none."""
        operation, table = summary_of(statement)
        if operation in TRANSACTION_CONTROL:
            return None
        attributes = {
            **self._attributes,
            "db.operation.name": operation,
            "db.query.text": without_literals(statement, self._is_quoted_twice),
        }
        if table:
            attributes["db.collection.name"] = table
        return f"{operation} {table or self._attributes.get('db.namespace', '')}".rstrip(), Shared(attributes)


def _run(span: Span, execute: Callable[..., None], *arguments: Any) -> bool:
    try:
        execute(*arguments)
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR))
        state = getattr(error, "sqlstate", None)
        span.set_attribute("error.type", str(state or type_name(error)))
        if state:
            span.set_attribute("db.response.status_code", str(state))
        raise
    finally:
        span.end()
    return True


def without_literals(statement: str, is_quoted_twice: bool = False) -> str:
    """The text as the semantic conventions want it: `?` for each literal, no comment; names and parameters stay."""
    tokens = TOKENS_QUOTED_TWICE if is_quoted_twice else TOKENS
    return tokens.sub(lambda found: found["kept"] or ("" if found["comment"] else "?"), statement[:LONGEST_STATEMENT])


def summary_of(statement: str) -> tuple[str, str]:
    """The first word in capitals and the first table: `("SELECT", "orders")`; an empty string where there is none."""
    start = statement[:LONGEST_STATEMENT]
    words = start.split(None, 1)
    table = FIRST_TABLE.search(start)
    return words[0][:LONGEST_OPERATION].upper().strip("(;") if words else "EMPTY", table[1] if table else ""


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
