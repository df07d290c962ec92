"""The rules of the audit trail: recording events as they arrive, and searching them.

The trail is ordered by when an entry was recorded, not by when its event occurred: an event that arrives late is then
the newest entry, and does not appear unseen on a page that a reader has already passed. Reading page by page returns
each entry that existed at the start exactly once.
"""

from typing import cast
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import EVENTS, CloudEvent, trace_of
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.pages import BadCursor, Page
from libs.service_kit.transactions import after_commit
from services.system.audit import queries
from services.system.audit.errors import AuditEntryNotFound
from services.system.audit.models import AuditEntry
from services.system.audit.schemas import AuditEntryOut, AuditSearch
from services.system.metrics import AUDIT_ENTRIES

# An insert into the table and not a mapped object: every event of the platform passes here, and none is read back.
_TABLE = cast("Table", AuditEntry.__table__)
_ADD = insert(_TABLE).on_conflict_do_nothing().returning(_TABLE.c.id)


async def record(session: AsyncSession, event: CloudEvent) -> None:
    """Add an event to its tenant's trail, once, however often it is delivered."""
    entity_type, _, entity_id = event.subject.partition("/")
    entry = {
        "tenant_id": event.tenantid,
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "entity_type": entity_type,
        "entity_id": entity_id,
        "actor_id": event.actorid,
        "occurred_at": event.time,
        "trace_id": trace_of(event.traceparent),
        "request_id": event.requestid,
        "data": event.data,
    }
    if await session.scalar(_ADD, entry):
        # Only types of the contracts become label values, so that unknown ones cannot create series without limit.
        after_commit(session, AUDIT_ENTRIES.labels(event.type if event.type in EVENTS else "unknown").inc)


async def get(session: AsyncSession, actor: Principal, entry_id: UUID) -> AuditEntry:
    """The entry of one event. Raises `AuditEntryNotFound`."""
    return found(await queries.find(session, actor.tenant_id, entry_id), AuditEntryNotFound, entry_id)


async def search(session: AsyncSession, actor: Principal, wanted: AuditSearch) -> Page[AuditEntryOut]:
    """One page of the actor's tenant's trail, the latest recorded first. The cursor is the id of a page's last entry."""
    before = await _position(session, actor, wanted.cursor) if wanted.cursor else None
    entries = await queries.newest(session, actor.tenant_id, wanted, before, wanted.limit + 1)
    shown = entries[: wanted.limit]
    more = len(entries) > wanted.limit
    return Page(
        items=[AuditEntryOut.model_validate(entry) for entry in shown],
        next_cursor=str(shown[-1].id) if more else None,
    )


async def _position(session: AsyncSession, actor: Principal, cursor: str) -> int:
    try:
        entry = await queries.find(session, actor.tenant_id, UUID(cursor))
    except ValueError:
        entry = None
    if entry is None:
        raise BadCursor()
    return entry.position
