"""Signing access tokens, and publishing the keys that verify them."""

import base64
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm
from sqlalchemy.ext.asyncio import AsyncSession

from libs.observability import get_logger
from libs.service_kit.auth import ALGORITHM, AUDIENCE, ISSUER, LEEWAY_SECONDS, REFRESH_SECONDS
from libs.service_kit.transactions import Sessions, after_commit, lock, transaction
from services.auth import metrics
from services.auth.keys import queries
from services.auth.keys.models import SigningKey

log = get_logger(__name__)

ACCESS_TOKEN_SECONDS = 15 * 60
MARGIN_SECONDS = 60
PUBLISHED_AHEAD = timedelta(seconds=2 * REFRESH_SECONDS + MARGIN_SECONDS)
"""How long before its time a key is published: services fetch keys every five minutes, and a cache on the way may keep
the answer for as long."""
LAST_TOKEN_ENDS = timedelta(seconds=ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS + MARGIN_SECONDS)
"""How long after the time of the next key a key may still be needed."""


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
    makers: Iterable[UUID] = (),
    own_password: bool = False,
    client_id: str | None = None,
) -> AccessToken:
    """An access token for a user, or for the service account that `client_id` names."""
    key = await signing_key(session)
    assert key.private_key
    metrics.SIGNING_KEY_SINCE.set(key.signs_from.timestamp())
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
    if client_id:
        claims["client_id"] = client_id
    else:
        claims |= {"makers": list(map(str, makers)), "own_password": own_password}
    encoded = jwt.encode(claims, _load(key.private_key), ALGORITHM, {"typ": "at+jwt", "kid": key.kid})
    return AccessToken(encoded, ACCESS_TOKEN_SECONDS)


async def signing_key(session: AsyncSession) -> SigningKey:
    """The key to sign with: the newest whose time has come. The first one is made when it is first needed."""
    if key := await queries.newest(session):
        return key
    # Held until the transaction ends: a transaction that waits here then finds the key of the other.
    await lock(session, "signing key")
    return await queries.newest(session) or await _add(session, timedelta(0))


async def rotate(session: AsyncSession) -> tuple[SigningKey, bool]:
    """The key that will sign next, and whether it is new."""
    await signing_key(session)
    await lock(session, "signing key")
    if waiting := await queries.waiting(session):
        return waiting, False
    return await _add(session, PUBLISHED_AHEAD), True


async def retire(session: AsyncSession) -> None:
    """Remove the private halves of keys that another has followed, and keys whose tokens have all ended."""
    await queries.forget_private_halves(session)
    for kid in await queries.remove_followed(session, LAST_TOKEN_ENDS):
        after_commit(session, partial(log.info, "signing key removed", kid=kid))


async def _add(session: AsyncSession, ahead: timedelta) -> SigningKey:
    key = new_key()
    key.signs_from = await queries.now(session) + ahead  # one clock for all replicas, which is the database's
    session.add(key)
    await session.flush()
    after_commit(session, partial(log.info, "signing key made", kid=key.kid))
    return key


def new_key() -> SigningKey:
    """A new key pair, named by its RFC 7638 thumbprint."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    members = {name: public[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(kid=kid, private_key=pem.decode(), public_key=json.dumps(public))


async def public_keys(sessions: Sessions) -> dict[str, list[dict[str, Any]]]:
    """The JSON Web Key Set: the public half of every key that signs, has signed a valid token, or will sign next."""
    async with transaction(sessions) as session:
        keys = await queries.published(session)
    described = {"use": "sig", "alg": ALGORITHM}
    return {"keys": [{**json.loads(key.public_key), **described, "kid": key.kid} for key in keys]}


@lru_cache(maxsize=8)
def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
