"""Wrong guesses."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from services.auth.database import Base


class Guess(Base):
    """How often an account, an address, or an account from an address has been guessed at lately.

    It belongs to no tenant: what is tried is counted in the same way whether there is such an account or not.
    """

    __tablename__ = "guesses"
    account: Mapped[str] = mapped_column(primary_key=True)
    """A hash, since whoever mistypes may type anything; empty for all accounts."""
    address: Mapped[str] = mapped_column(primary_key=True)
    """Empty for all addresses."""
    failures: Mapped[float]
    """The wrong guesses that were not yet forgotten at `last_at`."""
    last_at: Mapped[datetime]
