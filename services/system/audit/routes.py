"""The audit trail over HTTP, which is read-only."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.pages import BadCursor, Page
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.system.audit import service
from services.system.audit.errors import AuditEntryNotFound
from services.system.audit.models import AuditEntry
from services.system.audit.schemas import AuditEntryOut, AuditSearch

router = NounRouter(prefix="/api/v1/audit-entries", tags=["audit"])

Reader = Annotated[Principal, Depends(requires("audit:read"))]


@router.get("", responses=problems(BadCursor))
async def search_audit_entries(
    wanted: Annotated[AuditSearch, Query()], actor: Reader, session: DatabaseSession
) -> Page[AuditEntryOut]:
    """Search the audit trail, the latest recorded entries first."""
    return await service.search(session, actor, wanted)


@router.get("/{entry_id}", response_model=AuditEntryOut, responses=problems(AuditEntryNotFound))
async def get_audit_entry(entry_id: UUID, actor: Reader, session: DatabaseSession) -> AuditEntry:
    """The entry of one event, by the event's id."""
    return await service.get(session, actor, entry_id)
