"""The department tree."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from libs.service_kit.entities import Entity
from services.personnel.database import Base


class Department(Entity, Base):
    """A department, below another one or at the top."""

    __tablename__ = "departments"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        ForeignKeyConstraint(["tenant_id", "parent_id"], ["departments.tenant_id", "departments.id"]),
        CheckConstraint("parent_id <> id", name="own_parent"),
        Index("ix_departments_parent", "tenant_id", "parent_id"),
    )
    code: Mapped[str]
    name: Mapped[str]
    parent_id: Mapped[UUID | None]
