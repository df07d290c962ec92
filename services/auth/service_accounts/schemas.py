"""Credentials and tokens of services in requests and answers."""

from typing import Literal

from libs.service_kit.fields import Input, Name, Output
from services.auth.fields import GivenSecret


class ClientCredentials(Input):
    """A service account's id and secret."""

    client_id: Name
    client_secret: GivenSecret


class ServiceTokenOut(Output):
    """An access token. The service asks for the next one before it expires."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
