"""The pool of the requests: a tenant holds at most half of its connections, and waits for one in a line of its own."""

import time
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_

from libs.observability.pool import MeasuredPool
from libs.service_kit.shares import TENANT, Overloaded, Shares

_PLACE = "all-erp.place"


class FairPool(MeasuredPool):
    """A pool whose connections are shared fairly. Raises `Overloaded` instead of a time-out."""

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 0, timeout: float = 5.0, **more: Any
    ) -> None:
        super().__init__(creator, pool_size=pool_size, max_overflow=0, timeout=timeout, **more)
        self._shares = Shares("database", pool_size, timeout)
        for leaving in ("checkin", "detach"):  # nobody checks in what has been detached, or what nobody has closed
            event.listen(self, leaving, self._give_back)

    def connect(self) -> PoolProxiedConnection:
        """A connection, when it is the tenant's turn."""
        tenant = TENANT.get()
        if not self._shares.take(tenant):
            self.waiting(partial(self._wait, tenant), Overloaded)
        try:
            connection = super().connect()
        except BaseException:
            self._shares.give_back(tenant)
            raise
        cast("dict[str, Any]", connection.record_info)[_PLACE] = tenant, time.monotonic()
        return connection

    def _wait(self, tenant: UUID | None) -> None:
        await_(self._shares.wait(tenant))

    def _give_back(self, _: object, record: ConnectionPoolEntry) -> None:
        info = cast("dict[str, Any]", record.record_info)
        if place := info.pop(_PLACE, None):  # it has none yet if its first use failed
            tenant, began = place
            self._shares.give_back(tenant, time.monotonic() - began)
