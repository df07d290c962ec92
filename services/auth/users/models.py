"""Users of a tenant, and the roles they have."""

from uuid import UUID

from sqlalchemy import ARRAY, ForeignKeyConstraint, Index, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from libs.service_kit.entities import Entity
from services.auth.database import Base
from services.auth.roles.models import Role


class UserRole(Base):
    """A role that a user has."""

    __tablename__ = "user_roles"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "role_id"], ["roles.tenant_id", "roles.id"]),
        Index("ix_user_roles_role", "tenant_id", "role_id"),
    )
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role_id: Mapped[UUID] = mapped_column(primary_key=True)


class User(Entity, Base):
    """A person who can log in while active. The e-mail is unique in the tenant."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("tenant_id", "email"),)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str]
    makers: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), default=list, server_default=text("'{}'"))
    """Who created this one or was the last to reset the password, then the makers that they had at that moment."""
    has_own_password: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether the user has replaced the password that a maker knows."""
    is_active: Mapped[bool] = mapped_column(default=True)
    has_bootstrap_password: Mapped[bool] = mapped_column(default=False)
    """Whether bootstrap has set the password, and nobody since."""
    roles: Mapped[list[Role]] = relationship(secondary="user_roles", lazy="selectin", order_by=Role.name)

    @property
    def role_names(self) -> list[str]:
        """The names of the user's roles."""
        return [role.name for role in self.roles]

    @property
    def permissions(self) -> set[str]:
        """All permissions of the user's roles."""
        return {permission for role in self.roles for permission in role.permissions}
