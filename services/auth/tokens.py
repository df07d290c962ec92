"""Random tokens that a caller keeps: `<tenant in hex>.<random>`. The tenant is needed to read any row.

Only the hash is stored. Nobody can guess a token from it, so SHA-256 is enough.
"""

import hashlib
import secrets
from uuid import UUID


def new_token(tenant_id: UUID) -> str:
    """A token that nobody can guess."""
    return f"{tenant_id.hex}.{secrets.token_urlsafe(32)}"


def tenant_of(token: str) -> UUID | None:
    """The tenant in a token, or None when the token is malformed."""
    try:
        return UUID(hex=token.partition(".")[0])
    except ValueError:
        return None


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
