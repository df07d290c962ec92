"""What a service sends to get a token, and the token."""

from typing import Literal

from libs.service_kit.fields import Input, Name, Output
from services.auth.fields import GivenSecret


class ClientCredentials(Input):
    """A service account's proof of who it is."""

    client_id: Name
    client_secret: GivenSecret


class ServiceTokenOut(Output):
    """An access token; ask again before it ends."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
