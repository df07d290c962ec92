"""Accounts."""

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped

from libs.service_kit.entities import Entity
from services.budget.database import Base


class Account(Entity, Base):
    """A purpose for which money is planned, the same in every fiscal year."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    code: Mapped[str]
    name: Mapped[str]
