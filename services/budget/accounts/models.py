"""Accounts."""

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped

from libs.service_kit.database import Entity
from services.budget.database import Base


class Account(Entity, Base):
    """A purpose that money is planned for, the same in every fiscal year."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "code"),
        Index("ix_accounts_newest", "tenant_id", text("created_at desc"), text("id desc")),
    )
    code: Mapped[str]
    name: Mapped[str]
