"""Service accounts."""

from sqlalchemy import ARRAY, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from libs.service_kit.entities import Entity
from services.auth.database import Base


class ServiceAccount(Entity, Base, is_listed=False):
    """A service as a caller. It belongs to the tenant `platform`.

    Its secret is long and random, so nobody can guess it from the hash and SHA-256 is enough: argon2 would take 17 ms of
    processor time for every token and protect no better.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (UniqueConstraint("tenant_id", "client_id"),)
    client_id: Mapped[str]
    secret_hash: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
