"""The events of the auth service: users, roles and sessions."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from libs.contracts.events import Event


class UserCreated(Event):
    """A user exists and may log in."""

    type: ClassVar[str] = "user.created.v1"
    user_id: UUID
    email: str = Field(repr=False)
    roles: list[str]


class UserUpdated(Event):
    """A user's name, roles or state changed."""

    type: ClassVar[str] = "user.updated.v1"
    user_id: UUID
    roles: list[str]
    is_active: bool


class UserLoggedIn(Event):
    """A user logged in."""

    type: ClassVar[str] = "user.logged_in.v1"
    user_id: UUID


class UserLoggedOut(Event):
    """A user ended a session."""

    type: ClassVar[str] = "user.logged_out.v1"
    user_id: UUID


class UserSessionsRevoked(Event):
    """Sessions of a user were ended: a refresh token was used twice, which means theft, or the user was deactivated."""

    type: ClassVar[str] = "user.sessions_revoked.v1"
    is_trouble: ClassVar[bool] = True
    user_id: UUID
    reason: str


class UserPasswordChanged(Event):
    """A user has another password; their sessions have ended."""

    type: ClassVar[str] = "user.password_changed.v1"
    user_id: UUID
    by: str
    """`owner`, or `reset` by a one-time token, or `bootstrap`."""


class UserPasswordReset(Event):
    """An administrator has ended a user's password and sessions, and has a one-time token for the next."""

    type: ClassVar[str] = "user.password_reset.v1"
    user_id: UUID


class RoleCreated(Event):
    """A role exists and can be given to users."""

    type: ClassVar[str] = "role.created.v1"
    role_id: UUID
    name: str
    permissions: list[str]


class RoleUpdated(Event):
    """A role's permissions changed."""

    type: ClassVar[str] = "role.updated.v1"
    role_id: UUID
    name: str
    permissions: list[str]
