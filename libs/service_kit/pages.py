"""Lists by cursor: the newest first, with no gap or repeat while rows are added, and without a costly total."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.errors import BadRequest

Item = TypeVar("Item")
Row = TypeVar("Row")


class BadCursor(BadRequest):  # noqa: D101
    detail = "The cursor is not from a list of this service; use the `next_cursor` of the previous page, or none."


class Page(BaseModel, Generic[Item]):
    """One page of a list. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


class Window:
    """The page that the client asks for."""

    def __init__(
        self,
        cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> None:
        self.after = _decode(cursor) if cursor else None
        self.limit = limit


PageWindow = Annotated[Window, Depends(Window)]


async def page(
    session: AsyncSession, query: Select[Row], entity: Any, window: Window, out: Callable[[Row], Item]
) -> Page[Item]:
    """Run a query over `entity`, which has `created_at` and `id`; `out` converts each row of the page."""
    if window.after:
        query = query.where(tuple_(entity.created_at, entity.id) < tuple_(*window.after))
    ordered = query.order_by(entity.created_at.desc(), entity.id.desc()).limit(window.limit + 1)
    rows: Sequence[Row] = (await session.scalars(ordered)).all()
    more = len(rows) > window.limit
    shown = rows[: window.limit]
    return Page(items=[out(row) for row in shown], next_cursor=_encode(shown[-1]) if more else None)


def _encode(row: Any) -> str:
    position = json.dumps([row.created_at.isoformat(), str(row.id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, identifier = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        created_at, row_id = datetime.fromisoformat(at), UUID(identifier)
        if created_at.tzinfo is None:
            raise ValueError("no time zone")
        # Converted to UTC here and not by the driver: at the ends of the calendar it overflows, which is caught below.
        return created_at.astimezone(UTC), row_id
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error, RecursionError):
        raise BadCursor() from None
