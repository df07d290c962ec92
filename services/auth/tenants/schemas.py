"""What a tenant's administrator is created from."""

from libs.service_kit.fields import Email, Input, Name
from services.auth.fields import NewPassword
from services.auth.users.schemas import UserCreate


class AdministratorCreate(Input):
    """A tenant's administrator; the role is given with it."""

    email: Email
    name: Name
    password: NewPassword

    def as_user(self) -> UserCreate:
        """The same as a new user."""
        return UserCreate(email=self.email, name=self.name, password=self.password)
