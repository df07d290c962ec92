"""Types of secrets in requests: they are never shown, and always strings that can be hashed."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.auth.passwords import LONGEST, SHORTEST


def _encodable(secret: SecretStr) -> SecretStr:
    """Refuse a lone surrogate, which JSON can contain but UTF-8 cannot encode."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("must be a string without lone surrogates") from None
    return secret


NewPassword = Annotated[SecretStr, Field(min_length=SHORTEST, max_length=LONGEST), AfterValidator(_encodable)]
# A password at login, to which the rules for new passwords do not apply.
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=LONGEST), AfterValidator(_encodable)]
GivenSecret = Annotated[SecretStr, Field(min_length=1, max_length=200), AfterValidator(_encodable)]
