"""One-time tokens for a new password."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.database import Base


class PasswordReset(Base):
    """The token that a user may set a password with, once. A further one replaces it."""

    __tablename__ = "password_resets"
    __table_args__ = (
        UniqueConstraint("tenant_id", "token_hash"),
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
    )
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[str]
    expires_at: Mapped[datetime]
