"""Administrators in requests."""

from libs.service_kit.fields import Email, Input, Name
from services.auth.fields import NewPassword
from services.auth.users.schemas import UserCreate


class AdministratorCreate(Input):
    """A new administrator of a tenant. The role is not given, since it is always `administrator`."""

    email: Email
    name: Name
    password: NewPassword

    def as_user(self) -> UserCreate:
        """The administrator as a new user."""
        return UserCreate(email=self.email, name=self.name, password=self.password)
