"""The audit trail in requests and answers."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from libs.service_kit.fields import Output

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _require_iso(moment: object) -> object:
    """Refuse a number, which pydantic would accept as seconds since 1970."""
    if isinstance(moment, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", moment):
        raise ValueError("must be a date and a time with its zone, such as 2026-01-31T09:00:00Z")
    return moment


def _within_reach(moment: datetime) -> datetime:
    """Clamp to a range that holds all events: near the years 1 and 9999 the conversion to UTC would overflow."""
    return min(max(moment, EARLIEST), LATEST)


Moment = Annotated[AwareDatetime, BeforeValidator(_require_iso), AfterValidator(_within_reach)]
EventWord = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z0-9_.]+$")]


class AuditSearch(BaseModel):
    """A search: entries match if they match every given filter. `cursor` and `limit` select the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: EventWord | None = Field(default=None, examples=["expenditure.approved.v1"])
    actor_id: UUID | None = None
    entity_type: EventWord | None = Field(default=None, examples=["expenditure"])
    entity_id: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]+$")] | None = None
    trace_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    occurred_from: Moment | None = Field(default=None, alias="from", description="Not before this time")
    occurred_to: Moment | None = Field(default=None, alias="to", description="Before this time")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the previous page")
    limit: int = Field(default=50, ge=1, le=200)


class AuditEntryOut(Output):
    """One event as it was published, and where it came from."""

    id: UUID = Field(description="The event's own id")
    type: str
    source: str = Field(description="The service that published the event")
    entity_type: str
    entity_id: str
    actor_id: UUID | None = Field(description="The user or service account that caused the event; null if a timer did")
    occurred_at: datetime
    recorded_at: datetime
    trace_id: str | None
    request_id: str | None
    data: dict[str, Any]
