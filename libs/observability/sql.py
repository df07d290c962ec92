"""A span for each SQL statement and gauges for the pool, by hooks of the SQLAlchemy engine."""

import re
from functools import lru_cache
from typing import Any
from weakref import ref

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from libs.observability.errors import type_name
from libs.observability.lean import LeanTracer
from libs.observability.metrics import DB_POOL_CONNECTIONS, DB_POOL_LIMIT

LONGEST_STATEMENT = 4096
FIRST_TABLE = re.compile(r'\b(?:from|into|update)\s+(?:only\s+)?"?(\w[\w.]{0,126})', re.IGNORECASE)
# What only arranges the transaction around other statements says nothing that those do not.
TRANSACTION_CONTROL = frozenset(("SET", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "BEGIN"))
LONGEST_OPERATION = 64


def instrument_engine(engine: AsyncEngine, provider: TracerProvider | None = None) -> None:
    """Traces the statements of an engine and shows its pool under the name of the database.

    A statement becomes a span only within a trace: what a background task asks every second would be noise. The text
    is recorded, the parameters are not.
    """
    hooks = _Hooks(engine.sync_engine, LeanTracer("libs.observability.sql", provider))
    event.listen(engine.sync_engine, "before_cursor_execute", hooks.begin)
    event.listen(engine.sync_engine, "after_cursor_execute", hooks.end)
    event.listen(engine.sync_engine, "handle_error", hooks.fail)
    _show_pool(engine.sync_engine)


class _Hooks:
    def __init__(self, engine: Engine, tracer: LeanTracer) -> None:
        self._tracer = tracer
        url = engine.url
        known = {
            "db.system.name": engine.dialect.name,
            "db.namespace": url.database,
            "server.address": url.host,
            "server.port": url.port,
        }
        self._attributes = {name: value for name, value in known.items() if value is not None}
        # A service says the same few statements again and again.
        self._described = lru_cache(maxsize=512)(self._describe)

    def begin(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: ExecutionContext,
        executemany: bool,
    ) -> None:
        if not is_instrumentation_enabled() or not trace.get_current_span().get_span_context().is_valid:
            return
        if described := self._described(statement):
            name, attributes = described
            if executemany:
                attributes = {**attributes, "db.operation.batch.size": len(parameters)}
            _spans(context)["span"] = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def _describe(self, statement: str) -> tuple[str, dict[str, Any]] | None:
        """Name and attributes of its span; None for what gets none."""
        operation, table = summary_of(statement)
        if operation in TRANSACTION_CONTROL:
            return None
        attributes = {
            **self._attributes,
            "db.operation.name": operation,
            "db.query.text": statement[:LONGEST_STATEMENT],
        }
        if table:
            attributes["db.collection.name"] = table
        return f"{operation} {table or self._attributes.get('db.namespace', '')}".rstrip(), attributes

    def end(
        self,
        conn: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: ExecutionContext,
        executemany: bool,
    ) -> None:
        if span := _spans(context).pop("span", None):
            span.end()

    def fail(self, failure: ExceptionContext) -> None:
        context = failure.execution_context
        span = _spans(context).pop("span", None) if context is not None else None
        if span is None:
            return
        error = failure.original_exception
        span.set_status(Status(StatusCode.ERROR))
        state = getattr(error, "sqlstate", None)
        span.set_attribute("error.type", str(state or type_name(error)))
        if state:
            span.set_attribute("db.response.status_code", str(state))
        span.end()


def _spans(context: ExecutionContext) -> dict[str, Span]:
    return context.__dict__.setdefault("observability", {})


def summary_of(statement: str) -> tuple[str, str]:
    """The first word in capitals and the first table: `("SELECT", "orders")`; an empty text where there is none."""
    start = statement[:LONGEST_STATEMENT]
    words = start.split(None, 1)
    table = FIRST_TABLE.search(start)
    return words[0][:LONGEST_OPERATION].upper().strip("(;") if words else "EMPTY", table[1] if table else ""


def _show_pool(engine: Engine) -> None:
    if not isinstance(engine.pool, QueuePool):
        return
    name = engine.url.database or "unknown"
    held = ref(engine)  # a gauge must not keep a disposed engine alive

    def pool() -> QueuePool | None:
        current = held()
        return current.pool if current is not None and isinstance(current.pool, QueuePool) else None

    def limit() -> int:
        current = pool()
        return current.size() + max(0, current._max_overflow) if current else 0  # pyright: ignore[reportPrivateUsage]

    DB_POOL_CONNECTIONS.labels(name, "in_use").set_function(lambda: p.checkedout() if (p := pool()) else 0)
    DB_POOL_CONNECTIONS.labels(name, "idle").set_function(lambda: p.checkedin() if (p := pool()) else 0)
    DB_POOL_LIMIT.labels(name).set_function(limit)
