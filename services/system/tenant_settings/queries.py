"""Reads of settings."""

from uuid import UUID

from sqlalchemy import Select, select

from services.system.tenant_settings.models import TenantSetting


def changed(tenant_id: UUID, name: str | None = None) -> Select[TenantSetting]:
    """The settings that the tenant has changed: all, or the one of this name."""
    query = select(TenantSetting).where(TenantSetting.tenant_id == tenant_id)
    return query.where(TenantSetting.name == name) if name else query
