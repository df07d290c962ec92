"""Authentication: an access token is verified with the public keys of the auth service and becomes a `Principal`."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from libs.contracts import PLATFORM_TENANT_ID
from libs.observability import bind
from libs.service_kit import availability
from libs.service_kit.answers import Refused
from libs.service_kit.errors import Forbidden, ServiceError, Unauthorized, Unavailable
from libs.service_kit.shares import TENANT

ISSUER = "all-erp-auth"
AUDIENCE = "all-erp"
ALGORITHM = "ES256"  # small keys, widely supported; never read from the token, which an attacker could write
LEEWAY_SECONDS = 5
REFRESH_SECONDS = 300
FORCED_REFRESH_SECONDS = 30
MOST_PROOFS = 10_000
MOST_MAKERS = 16
"""How many makers of an account its tokens name: behind the last of them may be more, who are not known."""
MOST_TOKEN_CHARACTERS = 8192  # with all permissions a token has a thousand; PyJWT looks at each character in Python
_CALLER = "all-erp.caller"


class TenantStopped(Forbidden):  # noqa: D101
    detail = "The caller's tenant is suspended or closed."


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, the tenant that they act for, and what they may do."""

    id: UUID
    tenant_id: UUID
    permissions: frozenset[str]
    client_id: str | None
    """The service account's name; None for a person."""
    token: str = field(repr=False)
    """The token itself, to call other services on the caller's behalf."""
    makers: tuple[UUID, ...] = ()
    """Who created the account with its password or was the last to reset it, then who did so for them, and so on."""
    has_own_password: bool = False
    """Whether the password was chosen by a session of the account itself, or with a one-time token."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified token: the id of its key, when it expires (seconds since 1970), and the principal that it stands for."""

    kid: str
    expires_at: float
    principal: Principal


class KeySet:
    """The public keys of the auth service by `kid`, fetched when needed and kept while auth is unavailable.

    The keys are refreshed when they are older than five minutes, and at once for an unknown `kid`, but then at most
    every thirty seconds, so that forged tokens cannot flood auth. PyJWT's own client would block the event loop.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._proofs: dict[str, Proof] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._lock = asyncio.Lock()
        self._failures = availability.Failures("token keys could not be fetched", ServiceError, Refused)

    async def find(self, kid: str) -> jwt.PyJWK:
        """The key with this id. Raises `Unauthorized` when it is unknown, `Unavailable` when no key has been fetched yet."""
        now = time.monotonic()
        unknown, old = kid not in self._keys, now - self._fetched_at > REFRESH_SECONDS
        if (unknown or old) and (now - self._asked_at > FORCED_REFRESH_SECONDS or not self._keys):
            await self._refresh(now)
        if key := self._keys.get(kid):
            return key
        if not self._keys:
            raise Unavailable("The keys that verify access tokens cannot be fetched now.", headers={"Retry-After": "1"})
        raise _refused("The token is signed with an unknown key.")

    def remember(self, proof: Proof) -> None:
        """Keep a proof, so that the next request with this token needs no verification."""
        if len(self._proofs) >= MOST_PROOFS:
            self._proofs.clear()
        self._proofs[proof.principal.token] = proof

    async def proved(self, token: str) -> Principal | None:
        """The principal of a token that has been verified with these keys and has not expired since, else None."""
        if known := self._proofs.get(token):
            await self.find(known.kid)  # refreshes keys that are too old, which drops all proofs
            if token in self._proofs and time.time() < known.expires_at + LEEWAY_SECONDS:
                return known.principal
        return None

    async def _refresh(self, asked_at: float) -> None:
        async with self._lock:
            if self._asked_at > asked_at:  # another request has just refreshed the keys
                return
            self._asked_at = time.monotonic()
            try:
                found = jwt.PyJWKSet.from_dict(dict(await self._fetch()))
            except Exception as error:
                if not availability.note(error):
                    self._failures.tell(error)
                return
            self._keys = {key.key_id: key for key in found.keys if key.key_id}
            self._proofs.clear()  # a proof must not outlive its key
            self._fetched_at = time.monotonic()


def _refused(reason: str) -> Unauthorized:
    return Unauthorized(reason, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


async def verify(token: str, keys: KeySet) -> Principal:
    """The principal that a token stands for. Raises `Unauthorized` unless it is a valid access token of the platform."""
    if known := await keys.proved(token):
        return known
    if len(token) > MOST_TOKEN_CHARACTERS:
        raise _refused("The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != "at+jwt" or not isinstance(header.get("kid"), str):
            raise _refused("The token is not an access token.")
        key = await keys.find(header["kid"])
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "sub", "aud", "iss", "tenant_id", "scope"]},
        )
        principal = Principal(
            id=UUID(claims["sub"]),
            tenant_id=UUID(claims["tenant_id"]),
            permissions=frozenset(str(claims["scope"]).split()),
            client_id=claims.get("client_id"),
            token=token,
            makers=tuple(map(UUID, claims.get("makers", ()))),
            has_own_password=claims.get("own_password") is True,
        )
        keys.remember(Proof(header["kid"], claims["exp"], principal))
        return principal
    except jwt.ExpiredSignatureError:
        raise _refused("The token has expired.") from None
    except (jwt.PyJWTError, ValueError, AttributeError, TypeError):
        raise _refused("The token is not valid.") from None


async def identify(request: Request) -> Principal:
    """The caller, verified once per request and bound to its log lines. Raises `Unauthorized`, `TenantStopped`."""
    known: Principal | None = request.scope.get(_CALLER)
    if known is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("An access token is needed.", headers={"WWW-Authenticate": "Bearer"})
        known = await verify(token.strip(), request.state.keys)
        bind(tenant_id=str(known.tenant_id), user_id=str(known.id))
        TENANT.set(known.tenant_id)
        if known.tenant_id in request.state.stopped:
            raise TenantStopped()
        request.scope[_CALLER] = known
    return known


class Authenticated(HTTPBearer):
    """A dependency that yields the caller, who must hold these permissions, and is the security scheme in OpenAPI.

    It has no sub-dependencies: FastAPI would resolve them in every place where this one is used.
    """

    def __init__(self, *permissions: str) -> None:
        super().__init__(scheme_name="HTTPBearer", description="An access token from auth: POST /api/v1/auth/login")
        self._needed = frozenset(permissions)

    async def __call__(self, request: Request) -> Principal:  # pyright: ignore[reportIncompatibleMethodOverride]
        caller = await identify(request)
        if missing := self._needed - caller.permissions:
            raise Forbidden("The caller lacks a permission that this operation needs.", missing=sorted(missing))
        return caller


Caller = Annotated[Principal, Depends(Authenticated())]


def requires(*permissions: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that yields the caller, who must hold all these permissions; others are answered 403."""
    return Authenticated(*permissions)


def of_platform(permission: str, refusal: type[Forbidden]) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that yields the caller, a user of the platform with this permission; others are answered 403.

    A tenant's user who has the permission is refused with `refusal`.
    """

    async def permitted(caller: Annotated[Principal, Depends(requires(permission))]) -> Principal:
        if caller.tenant_id != PLATFORM_TENANT_ID:
            raise refusal()
        return caller

    return permitted
