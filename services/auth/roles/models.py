"""Roles of a tenant."""

from sqlalchemy import ARRAY, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity
from services.auth.database import Base


class Role(Entity, Base):
    """A named set of permissions. Built-in roles are created with the tenant and cannot be changed."""

    __tablename__ = "roles"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    name: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    is_builtin: Mapped[bool] = mapped_column(default=False)
