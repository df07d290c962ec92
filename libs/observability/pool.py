"""Who waits for a connection of the pool, how long, and in vain: as numbers, and as a span within the trace."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from .errors import type_name
from .metrics.families import DB_POOL_TIMEOUTS, DB_POOL_WAIT, DB_POOL_WAITING
from .traces.clients import is_traced
from .traces.scope import get_tracer

WAIT_SPAN = "db.client.connection wait"
Waited = TypeVar("Waited")
_tracer = get_tracer(__name__)
# A pool's logger is named after its class; SQLAlchemy keeps the loggers of its own classes as quiet as this.
logging.getLogger(__name__).setLevel(logging.WARNING)


class MeasuredPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, which shows waits: `create_async_engine(url, poolclass=MeasuredPool, pool_logging_name="orders")`.

    Whoever finds a connection free costs nothing more. The name is the label `pool` of the metrics.
    """

    def __init__(self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **more: Any) -> None:
        super().__init__(creator, pool_size=pool_size, max_overflow=max_overflow, **more)
        self._limit = float("inf") if pool_size == 0 or max_overflow < 0 else pool_size + max_overflow
        self._name = self.logging_name or "unknown"
        self._waiting = DB_POOL_WAITING.labels(self._name)
        self._waited = DB_POOL_WAIT.labels(self._name)
        self._timeouts = DB_POOL_TIMEOUTS.labels(self._name)

    def connect(self) -> PoolProxiedConnection:
        """A connection of the pool, as soon as one is free."""
        return super().connect() if self.checkedout() < self._limit else self.waiting(super().connect)

    def waiting(self, wait: Callable[[], Waited], in_vain: type[Exception] = PoolTimeout) -> Waited:
        """Show this wait; `in_vain` is the error of one that ends without a connection."""
        span, started = self._span(), perf_counter()
        self._waiting.inc()
        try:
            return wait()
        except BaseException as error:
            if isinstance(error, in_vain):
                self._timeouts.inc()
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", type_name(error))
            raise
        finally:
            self._waiting.dec()
            self._waited.observe(perf_counter() - started)
            span.end()

    def _span(self) -> Span:
        if not is_traced():
            return trace.INVALID_SPAN
        return _tracer.start_span(WAIT_SPAN, attributes={"db.client.connection.pool.name": self._name})
