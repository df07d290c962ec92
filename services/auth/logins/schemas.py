"""What comes with a login, and the tokens that go out."""

from typing import Literal

from libs.service_kit.fields import Code, Email, Input, Output
from services.auth.fields import GivenPassword, GivenSecret


class Login(Input):
    """Who wants in: the tenant by its code, the user by their e-mail."""

    tenant: Code
    email: Email
    password: GivenPassword


class RefreshTokenIn(Input):
    """The refresh token of a session."""

    refresh_token: GivenSecret


class TokensOut(Output):
    """A short-lived access token, and the refresh token that gets the next pair; it works once."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str
