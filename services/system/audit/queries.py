"""Reading the audit trail."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.system.audit.models import AuditEntry
from services.system.audit.schemas import AuditSearch


async def find(session: AsyncSession, tenant_id: UUID, entry_id: UUID) -> AuditEntry | None:
    """The entry of this event."""
    return await session.scalar(select(AuditEntry).where(AuditEntry.tenant_id == tenant_id, AuditEntry.id == entry_id))


async def newest(
    session: AsyncSession, tenant_id: UUID, wanted: AuditSearch, before: int | None, limit: int
) -> Sequence[AuditEntry]:
    """The latest recorded entries that match, of those at a position below `before`."""
    matching = select(AuditEntry).where(AuditEntry.tenant_id == tenant_id, *_conditions(wanted))
    if before is not None:
        matching = matching.where(AuditEntry.position < before)
    return (await session.scalars(matching.order_by(AuditEntry.position.desc()).limit(limit))).all()


def _conditions(wanted: AuditSearch) -> list[ColumnElement[bool]]:
    given = {
        AuditEntry.type: wanted.type,
        AuditEntry.actor_id: wanted.actor_id,
        AuditEntry.entity_type: wanted.entity_type,
        AuditEntry.entity_id: wanted.entity_id,
        AuditEntry.trace_id: wanted.trace_id,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in given.items() if value is not None]
    if wanted.occurred_from is not None:
        conditions.append(AuditEntry.occurred_at >= wanted.occurred_from)
    if wanted.occurred_to is not None:
        conditions.append(AuditEntry.occurred_at < wanted.occurred_to)
    return conditions
