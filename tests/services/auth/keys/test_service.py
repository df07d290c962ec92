"""The keys: made once, published before they sign and without their private half, removed after their last token."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import event

from libs.service_kit.auth import LEEWAY_SECONDS, REFRESH_SECONDS, KeySet, verify
from libs.service_kit.errors import Unauthorized
from libs.service_kit.transactions import Sessions, transaction
from services.auth.keys import service
from services.auth.rotate_keys import rotate
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
        own = (await service.signing_key(session)).kid
    response = await anonymous.get("/.well-known/jwks.json")
    keys = {key["kid"]: key for key in response.json()["keys"]}
    assert set(keys[own]) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    members = {name: keys[own][name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    assert own == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert response.headers["cache-control"] == "public, max-age=300"


async def test_those_who_ask_at_a_time_for_the_keys_share_what_is_read(anonymous, app_state):
    reads: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        reads.append(statement)

    engine = app_state["engine"].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        answers = await asyncio.gather(*(anonymous.get("/.well-known/jwks.json") for _ in range(20)))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= sum("FROM signing_keys" in statement for statement in reads) <= 2  # who came too late got the second


@pytest.fixture
async def own_keys(superuser: asyncpg.Connection) -> AsyncIterator[None]:
    """No keys but those that the test makes; afterwards, those of before."""
    kept = await superuser.fetch("select * from signing_keys")
    await superuser.execute("delete from signing_keys")
    yield
    await superuser.execute("delete from signing_keys")
    for row in kept:
        await superuser.execute("insert into signing_keys values ($1, $2, $3, $4, $5)", *row.values())


@pytest.fixture
def later(superuser: asyncpg.Connection) -> Callable[[timedelta], Awaitable[None]]:
    """Let time pass for the keys."""

    async def pass_by(time: timedelta) -> None:
        await superuser.execute("update signing_keys set signs_from = signs_from - $1::interval", time)

    return pass_by


async def signed(sessions: Sessions) -> str:
    """The key of a new token."""
    async with transaction(sessions) as session:
        token = await service.sign(session, subject=uuid4(), tenant_id=uuid4(), permissions=())
    return jwt.get_unverified_header(token.encoded)["kid"]


async def test_a_new_key_is_published_first_and_signs_when_every_service_has_it(
    own_keys, sessions, anonymous, settings_of, later, superuser
):
    async def published() -> list[str]:
        return [key["kid"] for key in (await anonymous.get("/.well-known/jwks.json")).json()["keys"]]

    async def retire() -> list[bool]:
        async with transaction(sessions) as session:
            await service.retire(session)
        rows = await superuser.fetch("select private_key from signing_keys order by signs_from")
        return [row["private_key"] is not None for row in rows]

    old = await signed(sessions)
    said = [await rotate(settings_of("auth")) for _ in range(2)]
    [_, new] = await published()
    assert [f"The key {new} {done}, and signs from" in line for done, line in zip(
        ("is published", "was published before"), said, strict=True)] == [True, True]  # fmt: skip
    assert (await signed(sessions), await retire()) == (old, [True, True])

    await later(timedelta(seconds=2 * REFRESH_SECONDS))  # what a verifier and a cache on the way may be late
    assert (await signed(sessions), await retire()) == (old, [True, True])
    await later(service.PUBLISHED_AHEAD - timedelta(seconds=2 * REFRESH_SECONDS))
    assert (await signed(sessions), await retire(), await published()) == (new, [False, True], [old, new])
    assert REGISTRY.get_sample_value("auth_signing_key_timestamp_seconds") == pytest.approx(time.time(), abs=600)

    await later(timedelta(seconds=service.ACCESS_TOKEN_SECONDS + LEEWAY_SECONDS))
    assert await retire() == [False, True]
    await later(service.LAST_TOKEN_ENDS - timedelta(seconds=service.ACCESS_TOKEN_SECONDS))
    assert (await retire(), await published(), await signed(sessions)) == ([True], [new], new)


async def test_rotations_at_once_publish_one_key(own_keys, sessions, settings_of, superuser):
    old = await signed(sessions)
    await asyncio.gather(*(rotate(settings_of("auth")) for _ in range(4)))
    assert await superuser.fetchval("select count(*) from signing_keys where kid <> $1", old) == 1


async def test_whoever_needs_the_first_key_while_it_is_made_waits_for_it(own_keys, sessions, superuser):
    async def newest() -> str:
        async with transaction(sessions) as session:
            return (await service.signing_key(session)).kid

    async with transaction(sessions) as first:
        made = (await service.signing_key(first)).kid
        second = asyncio.create_task(newest())
        await until_somebody_waits(superuser)
    assert await second == made
