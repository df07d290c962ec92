"""Secrets as they come over the wire: never shown, and always text that can be hashed."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.auth.passwords import LONGEST, SHORTEST


def _encodable(secret: SecretStr) -> SecretStr:
    """JSON can spell half of a surrogate pair, which is no character and has no bytes."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("must be text of whole characters") from None
    return secret


NewPassword = Annotated[SecretStr, Field(min_length=SHORTEST, max_length=LONGEST), AfterValidator(_encodable)]
# Whatever a client believes to be the password, so without the rules for new ones.
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=LONGEST), AfterValidator(_encodable)]
GivenSecret = Annotated[SecretStr, Field(min_length=1, max_length=200), AfterValidator(_encodable)]
