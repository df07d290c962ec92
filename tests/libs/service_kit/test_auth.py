"""Only a valid access token of the auth service says who is asking."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request

from libs.service_kit import auth
from libs.service_kit.auth import KeySet, verify
from libs.service_kit.errors import Unauthorized, Unavailable
from libs.service_kit.transactions import open_session
from tests.fixtures.auth import KID

MakeToken = Callable[..., str]
NOTES = "/api/v1/notes"


class Keys:
    """The auth service's key endpoint as `KeySet` sees it: counts how often it was asked, and can be away."""

    def __init__(self, *keys: tuple[str, ec.EllipticCurvePrivateKey]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.away = False

    async def fetch(self) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise ConnectionError("auth is away")
        to_jwk = jwt.algorithms.ECAlgorithm.to_jwk
        return {"keys": [json.loads(to_jwk(key.public_key())) | {"kid": kid} for kid, key in self.keys]}


@pytest.fixture
def keys(signing_key: ec.EllipticCurvePrivateKey) -> Keys:
    """The public half of the key that `make_token` signs with."""
    return Keys((KID, signing_key))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the kit's clock go on: `clock(seconds)`."""
    passed = 0.0

    def go_on(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    start, today = time.monotonic(), time.time()
    hands = {"monotonic": staticmethod(lambda: start + passed), "time": staticmethod(lambda: today + passed)}
    monkeypatch.setattr(auth, "time", type("Clock", (), hands))
    return go_on


def unsigned(token: str, header: dict[str, Any]) -> str:
    """The claims of a token under another header, without its signature and its last dot."""
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{token.split('.')[1]}"


async def test_a_token_says_who_asks_for_whom_and_what_they_may(make_token, keys, tenant_id, user_id):
    token = make_token("budget:read", "budget:write")
    principal = await verify(token, KeySet(keys.fetch))
    assert (principal.id, principal.tenant_id, principal.client_id) == (user_id, tenant_id, None)
    assert principal.permissions == {"budget:read", "budget:write"}
    assert token not in repr(principal)


async def test_a_service_account_is_known_by_its_client_id(make_token, keys):
    principal = await verify(make_token("events:deliver", client_id="auth-service"), KeySet(keys.fetch))
    assert principal.client_id == "auth-service"


NOW = int(time.time())
WRONG: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW - 60},
    "not yet valid": {"nbf": NOW + 600},
    "issued in the future": {"iat": NOW + 600},
    "for another audience": {"aud": "elsewhere"},
    "of another issuer": {"iss": "elsewhere"},
    "of a tenant that is no id": {"tenant_id": "acme"},
    "of a tenant that is a number": {"tenant_id": 7},
    "of a subject that is no id": {"sub": "kim"},
    "an ID token": {"headers": {"typ": "JWT"}},
    "without a type": {"headers": {"typ": None}},
    "of an unknown key": {"headers": {"kid": "nobody"}},
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG.keys())
async def test_a_token_of_another_kind_is_refused(make_token, keys, changed):
    with pytest.raises(Unauthorized) as refused:
        await verify(make_token(**changed), KeySet(keys.fetch))
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "aud", "iss", "tenant_id", "scope"])
async def test_a_token_without_a_claim_is_refused(make_token, keys, signing_key, claim):
    claims = jwt.decode(make_token(), options={"verify_signature": False})
    del claims[claim]
    with pytest.raises(Unauthorized):
        await verify(jwt.encode(claims, signing_key, "ES256", {"typ": "at+jwt", "kid": KID}), KeySet(keys.fetch))


async def test_a_token_that_names_no_key_is_refused(make_token, keys, signing_key):
    claims = jwt.decode(make_token(), options={"verify_signature": False})
    with pytest.raises(Unauthorized):
        await verify(jwt.encode(claims, signing_key, "ES256", {"typ": "at+jwt"}), KeySet(keys.fetch))


async def test_a_forged_token_is_refused(make_token, keys, signing_key):
    good = make_token()
    header, claims, signature = good.split(".")
    header_of = {"typ": "at+jwt", "kid": KID}
    other_claims = make_token(tenant_id=uuid4()).split(".")[1]
    stranger = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}),
        ec.generate_private_key(ec.SECP256R1()),
        "ES256",
        header_of,
    )
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    symmetric = unsigned(good, header_of | {"alg": "HS256"})
    mac = base64.urlsafe_b64encode(hmac.digest(public, symmetric.encode(), hashlib.sha256)).rstrip(b"=").decode()
    forged = {
        "claims under another signature": f"{header}.{other_claims}.{signature}",
        "signed by a stranger": stranger,
        "unsigned": unsigned(good, header_of | {"alg": "none"}) + ".",
        "unsigned, in capitals": unsigned(good, header_of | {"alg": "NONE"}) + ".",
        "signed with the public key": f"{symmetric}.{mac}",
        "cut": f"{header}.{claims}",
        "no token": "x",
        "empty parts": "..",
        "not ASCII": "\u00e9.\u00e9.\u00e9",
    }
    key_set = KeySet(keys.fetch)
    assert await verify(good, key_set)
    for how, token in forged.items():
        with pytest.raises(Unauthorized):
            await verify(token, key_set)
            pytest.fail(f"accepted: {how}")


async def test_unknown_keys_make_us_ask_twice_a_minute_at_most(make_token, keys, clock):
    key_set = KeySet(keys.fetch)
    await verify(make_token(), key_set)
    assert keys.asked == 1
    for asked in (1, 2, 3):
        for number in range(20):
            with pytest.raises(Unauthorized, match="unknown key"):
                await verify(make_token(headers={"kid": f"forged-{number}"}), key_set)
        assert keys.asked == asked
        clock(auth.FORCED_REFRESH_SECONDS + 1)


async def test_a_new_key_is_found_when_its_first_token_comes(make_token, keys, signing_key, clock):
    key_set = KeySet(keys.fetch)
    await verify(make_token(), key_set)
    keys.keys.append(("next", signing_key))
    clock(auth.FORCED_REFRESH_SECONDS + 1)
    assert await verify(make_token(headers={"kid": "next"}), key_set)


@pytest.mark.parametrize("is_attacked", [True, False])
async def test_a_key_that_is_published_before_it_signs_is_known_whatever_anybody_sends(
    make_token, keys, signing_key, clock, is_attacked
):
    async def attack() -> None:
        with pytest.raises(Unauthorized, match="unknown key"):
            await verify(make_token(headers={"kid": "forged"}), key_set)

    key_set = KeySet(keys.fetch)
    await verify(make_token(), key_set)
    clock(auth.FORCED_REFRESH_SECONDS + 1)
    await attack()
    keys.keys.append(("next", signing_key))
    for _ in range(auth.REFRESH_SECONDS + 1):
        clock(1)
        if is_attacked:
            await attack()
    assert await verify(make_token(headers={"kid": "next"}), key_set)


async def test_a_withdrawn_key_is_forgotten_after_the_refresh(make_token, keys, signing_key, clock):
    key_set = KeySet(keys.fetch)
    await verify(make_token(), key_set)
    keys.keys = [("next", signing_key)]
    clock(auth.REFRESH_SECONDS + 1)
    with pytest.raises(Unauthorized):
        await verify(make_token(), key_set)


async def test_the_keys_are_kept_while_auth_is_away_or_tells_none(make_token, keys, clock):
    key_set = KeySet(keys.fetch)
    await verify(make_token(), key_set)
    keys.away = True
    clock(auth.REFRESH_SECONDS + 1)
    assert await verify(make_token(), key_set)
    keys.away, keys.keys = False, []
    clock(auth.REFRESH_SECONDS + 1)
    assert await verify(make_token(), key_set)
    assert keys.asked == 3


async def test_before_any_key_is_known_the_answer_is_unavailable(make_token, keys):
    key_set = KeySet(keys.fetch)
    keys.away = True
    with pytest.raises(Unavailable):
        await verify(make_token(), key_set)
    keys.away = False
    assert await verify(make_token(), key_set)


async def test_keys_that_cannot_be_fetched_are_one_line_without_a_stack(make_token, caplog):
    async def fetch() -> dict[str, Any]:
        raise Unavailable("auth is away")

    key_set = KeySet(fetch)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await verify(make_token(), key_set)
    [line] = caplog.records
    assert vars(line)["_fields"]["error"]["message"] == "auth is away"


async def test_without_a_token_the_answer_is_401(anonymous):
    for headers in ({}, {"authorization": "Basic a2ltOmtpbQ=="}, {"authorization": "Bearer"}):
        answer = await anonymous.get(NOTES, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_missing_permission_is_named(make_client):
    answer = await make_client("budget:read").get(NOTES)
    assert (answer.status_code, answer.json()["missing"]) == (403, ["budget:write"])


async def test_the_tenant_comes_from_the_token_and_from_nowhere_else(make_client, client):
    created = await client.post(NOTES, json={"code": "a", "text": "b"})
    stranger = make_client(tenant_id=uuid4())
    assert (await stranger.get(created.headers["location"])).status_code == 404
    assert (
        await stranger.patch(created.headers["location"], json={"text": "c"}, headers={"if-match": "*"})
    ).status_code == 404
    assert (await stranger.post(NOTES, json={"code": "a", "text": "b"})).status_code == 201


async def test_a_token_that_was_proved_is_not_proved_again(make_token, keys, monkeypatch):
    key_set, token = KeySet(keys.fetch), make_token()
    first = await verify(token, key_set)
    monkeypatch.setattr(jwt, "decode", None)
    assert await verify(token, key_set) == first


async def test_a_token_that_was_proved_ends_when_it_expires(make_token, keys, clock):
    key_set, token = KeySet(keys.fetch), make_token(exp=int(time.time()) + 20)
    await verify(token, key_set)
    clock(20 + auth.LEEWAY_SECONDS - 2)
    await verify(token, key_set)
    clock(4)
    assert await key_set.proved(token) is None


@pytest.mark.parametrize("kid", [KID, "another"])
async def test_a_token_that_was_proved_ends_with_its_key(make_token, keys, clock, kid):
    key_set, token = KeySet(keys.fetch), make_token()
    await verify(token, key_set)
    keys.keys = [(kid, ec.generate_private_key(ec.SECP256R1()))]
    clock(auth.REFRESH_SECONDS - 1)
    await verify(token, key_set)
    clock(2)
    with pytest.raises(Unauthorized):
        await verify(token, key_set)


async def test_a_forged_token_is_never_taken_for_one_that_was_proved(make_token, keys):
    key_set, token = KeySet(keys.fetch), make_token()
    await verify(token, key_set)
    head, _, signature = token.split(".")
    other = make_token(tenant_id=uuid4()).split(".")[1]
    for forged in (f"{head}.{other}.{signature}", f"{token}A", token[:-2]):
        for _ in range(2):
            with pytest.raises(Unauthorized):
                await verify(forged, key_set)


async def test_proofs_are_bounded(make_token, keys, monkeypatch):
    monkeypatch.setattr(auth, "MOST_PROOFS", 2)
    key_set, tokens = KeySet(keys.fetch), [make_token() for _ in range(3)]
    for token in tokens:
        await verify(token, key_set)
    assert [await key_set.proved(token) is not None for token in tokens] == [False, False, True]


async def test_a_session_is_opened_for_a_caller_only():
    with pytest.raises(Unauthorized):
        await anext(open_session(Request({"type": "http", "headers": [], "state": {}})))


async def test_a_token_that_is_longer_than_any_of_auths_is_not_looked_at(make_token, keys):
    keyset = KeySet(keys.fetch)
    longest = make_token(padding="x" * (auth.MOST_TOKEN_CHARACTERS // 2))
    assert await verify(longest, keyset)
    with pytest.raises(Unauthorized, match="too long"):
        await verify(make_token(padding="x" * auth.MOST_TOKEN_CHARACTERS), keyset)
