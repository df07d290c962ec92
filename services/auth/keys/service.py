"""Signing access tokens, and publishing the keys that verify them."""

import base64
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.observability import get_logger
from libs.service_kit.auth import ALGORITHM, AUDIENCE, ISSUER
from libs.service_kit.transactions import Sessions, after_commit, lock, transaction
from services.auth.keys.models import SigningKey

log = get_logger(__name__)

ACCESS_TOKEN_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token (a JWT), and the seconds until it expires."""

    encoded: str
    expires_in: int


async def sign(
    session: AsyncSession,
    *,
    subject: UUID,
    tenant_id: UUID,
    permissions: Iterable[str],
    set_up_by: UUID | None = None,
    client_id: str | None = None,
) -> AccessToken:
    """An access token for a user, or for the service account that `client_id` names."""
    key = await newest_key(session)
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(subject),
        "tenant_id": str(tenant_id),
        "scope": " ".join(sorted(permissions)),
        "iat": now,
        "exp": now + ACCESS_TOKEN_SECONDS,
        "jti": str(uuid4()),
    }
    if set_up_by:
        claims["set_up_by"] = str(set_up_by)
    if client_id:
        claims["client_id"] = client_id
    encoded = jwt.encode(claims, _load(key.private_key), ALGORITHM, {"typ": "at+jwt", "kid": key.kid})
    return AccessToken(encoded, ACCESS_TOKEN_SECONDS)


async def newest_key(session: AsyncSession) -> SigningKey:
    """The key to sign with. The first key is made when it is first needed."""
    newest = select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.kid).limit(1)
    if key := await session.scalar(newest):
        return key
    # Held until the transaction ends: a transaction that waits here then finds the key of the other.
    await lock(session, "signing key")
    if key := await session.scalar(newest):
        return key
    key = new_key()
    session.add(key)
    await session.flush()
    after_commit(session, partial(log.info, "signing key made", kid=key.kid))
    return key


def new_key() -> SigningKey:
    """A new key pair, named by its RFC 7638 thumbprint."""
    private = ec.generate_private_key(ec.SECP256R1())
    members = {name: _public(private)[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(kid=kid, private_key=pem.decode())


async def public_keys(sessions: Sessions) -> dict[str, list[dict[str, Any]]]:
    """The JSON Web Key Set: the public half of every key that may have signed a valid token."""
    async with transaction(sessions) as session:
        keys = (await session.scalars(select(SigningKey).order_by(SigningKey.created_at))).all()
    described = {"use": "sig", "alg": ALGORITHM}
    return {"keys": [{**_public(_load(key.private_key)), **described, "kid": key.kid} for key in keys]}


@lru_cache(maxsize=8)
def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _public(private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
