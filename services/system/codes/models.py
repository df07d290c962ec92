"""Code groups and their codes."""

from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity, newest_first
from services.system.database import Base


class CodeGroup(Entity, Base):
    """A list to choose from, such as the units of measure."""

    __tablename__ = "code_groups"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    code: Mapped[str]
    name: Mapped[str]


class CommonCode(Entity, Base):
    """One choice. It is never deleted, since old documents name it; one that is not active is not offered any more."""

    __tablename__ = "codes"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code_group_id", "code"),
        newest_first("ix_codes_code_group_newest", "code_group_id"),
        ForeignKeyConstraint(["tenant_id", "code_group_id"], ["code_groups.tenant_id", "code_groups.id"]),
    )
    code_group_id: Mapped[UUID]
    code: Mapped[str]
    name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
