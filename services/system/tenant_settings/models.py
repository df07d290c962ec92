"""Settings that tenants have changed."""

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity
from services.system.database import Base


class TenantSetting(Entity, Base, is_listed=False):
    """A setting that was changed. One that never was has no row, its default, and the version 0."""

    __tablename__ = "tenant_settings"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    name: Mapped[str]
    value: Mapped[Any] = mapped_column(JSONB())
