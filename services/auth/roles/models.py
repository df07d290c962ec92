"""Roles of a tenant."""

from sqlalchemy import ARRAY, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.database import Entity
from services.auth.database import Base


class Role(Entity, Base):
    """A named set of permissions. Built-in ones come with the tenant and stay as they are."""

    __tablename__ = "roles"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "name"),
        Index("ix_roles_newest", "tenant_id", text("created_at desc"), text("id desc")),
    )
    name: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    is_builtin: Mapped[bool] = mapped_column(default=False)
