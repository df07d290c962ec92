"""The keys: made once, published without their private half, and proof for any other service."""

import asyncio
import base64
import hashlib
import json
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from libs.service_kit.auth import KeySet, verify
from libs.service_kit.errors import Unauthorized
from libs.service_kit.transactions import transaction
from services.auth.keys import service
from tests.fixtures.waiting import until_somebody_waits


async def test_another_service_accepts_our_tokens_by_the_published_keys(anonymous, sessions):
    async def fetch() -> Any:
        return (await anonymous.get("/.well-known/jwks.json")).json()

    user, tenant = uuid4(), uuid4()
    async with transaction(sessions) as session:
        token = await service.sign(session, subject=user, tenant_id=tenant, permissions={"budget:read", "audit:read"})
    principal = await verify(token.encoded, KeySet(fetch))
    assert (principal.id, principal.tenant_id, principal.client_id) == (user, tenant, None)
    assert principal.permissions == {"budget:read", "audit:read"}
    header = jwt.get_unverified_header(token.encoded)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")


async def test_a_token_of_a_key_that_is_not_published_is_refused(anonymous):
    key = service.new_key()
    claims = {"sub": str(UUID(int=1)), "tenant_id": str(UUID(int=1)), "scope": "users:read", "iat": 1, "exp": 2**33}
    forged = jwt.encode(
        {**claims, "iss": "all-erp-auth", "aud": "all-erp"}, key.private_key, "ES256", {"typ": "at+jwt", "kid": key.kid}
    )
    response = await anonymous.get("/api/v1/users", headers={"authorization": f"Bearer {forged}"})
    assert response.status_code == 401

    async def fetch() -> Any:
        return (await anonymous.get("/.well-known/jwks.json")).json()

    with pytest.raises(Unauthorized):
        await verify(forged, KeySet(fetch))


async def test_the_published_keys_hold_no_private_part(anonymous, sessions):
    async with transaction(sessions) as session:
        own = (await service.newest_key(session)).kid
    response = await anonymous.get("/.well-known/jwks.json")
    keys = {key["kid"]: key for key in response.json()["keys"]}
    assert set(keys[own]) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    members = {name: keys[own][name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    assert own == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert response.headers["cache-control"] == "public, max-age=300"


async def test_whoever_needs_the_first_key_while_it_is_made_waits_for_it(sessions, superuser):
    async def newest() -> str:
        async with transaction(sessions) as session:
            return (await service.newest_key(session)).kid

    kept = await superuser.fetch("select * from signing_keys")
    await superuser.execute("delete from signing_keys")
    try:
        async with transaction(sessions) as first:
            made = (await service.newest_key(first)).kid
            second = asyncio.create_task(newest())
            await until_somebody_waits(superuser)
        assert await second == made
    finally:
        await superuser.execute("delete from signing_keys")
        for row in kept:
            await superuser.execute("insert into signing_keys values ($1, $2, $3)", *row.values())
