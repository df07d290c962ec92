"""Logins and tokens in requests and answers."""

from typing import Literal

from libs.service_kit.fields import Code, Email, Input, Output
from services.auth.fields import GivenPassword, GivenSecret


class Login(Input):
    """A login: the tenant's code, the user's e-mail and password."""

    tenant: Code
    email: Email
    password: GivenPassword


class RefreshTokenIn(Input):
    """The refresh token of a session."""

    refresh_token: GivenSecret


class TokensOut(Output):
    """A short-lived access token, and a refresh token, which can be exchanged once for the next pair."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str
