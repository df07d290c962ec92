"""The keys with which access tokens are signed."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.database import Base


class SigningKey(Base):
    """A key pair of the platform. It belongs to no tenant, and only this service's role can read it.

    It is published as soon as it is there, and signs from its time on, until the time of the next one. Then the private
    half is removed, and the public one when the last token has ended.
    """

    __tablename__ = "signing_keys"
    kid: Mapped[str] = mapped_column(primary_key=True)
    private_key: Mapped[str | None]
    public_key: Mapped[str]
    """A JSON Web Key."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    signs_from: Mapped[datetime]
