"""`Idempotency-Key`: a POST that is sent again gets the first answer, and nothing is created twice.

The key of a valid request is claimed by an insert in its own transaction: an equal request waits there until this one
commits and then finds its answer, and a request that fails leaves no key. Only successes are stored.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.auth import identify
from libs.service_kit.database import execute
from libs.service_kit.errors import BadRequest, Conflict, Invalid, ServiceError
from libs.service_kit.events import outbox
from libs.service_kit.preconditions import etag
from libs.service_kit.transactions import DatabaseSession, commit_of, transaction

_CLAIM = """insert into idempotency_keys (tenant_id, key, fingerprint) values ($1, $2, $3)
on conflict do nothing returning key"""
# Stores the answer, and in the same round trip the events that the request has published.
_ANSWER = "update idempotency_keys set status = 201, headers = $2, body = $3 where tenant_id = $4 and key = $5"
_REMEMBER = f"with remembered as ({_ANSWER}) {outbox.ADD}"
_FIND = "select fingerprint, status, headers, body from idempotency_keys where tenant_id = $1 and key = $2"
_LOCK_NOT_AVAILABLE = "55P03"


class IdempotencyKeyReused(Invalid):  # noqa: D101
    detail = "This idempotency key was used for a different request."


class RequestInProgress(Conflict):  # noqa: D101
    detail = "The first request with this key is still running."


class InvalidIdempotencyKey(BadRequest):  # noqa: D101
    detail = "An idempotency key has 1 to 200 printable characters."


class Replay(ServiceError):
    """Not an error: the request was answered before. The handler of this exception sends that answer again."""

    status = 200

    def __init__(self, status: int, headers: dict[str, str], body: Any) -> None:
        super().__init__("replayed")
        self.response = Response(
            orjson.dumps(body), status, headers | {"Idempotent-Replayed": "true"}, "application/json"
        )


class Once:
    """One creating request, and the key under which its answer is stored, if it has one."""

    def __init__(self, session: AsyncSession, key: str | None, fingerprint: str = "") -> None:
        self._session = session
        self._key = key
        self._fingerprint = fingerprint
        self._is_claimed = False

    async def claim(self) -> None:
        """Claim the key. Raises `Replay` with the first answer when the key has been used for this request."""
        was_claimed, self._is_claimed = self._is_claimed, True
        if was_claimed or self._key is None:
            return
        tenant_id = commit_of(self._session).tenant_id
        try:
            if not await execute(self._session, _CLAIM, tenant_id, self._key, self._fingerprint):
                await _replay(self._session, tenant_id, self._key, self._fingerprint)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise RequestInProgress(headers={"Retry-After": "1"}) from None

    async def created(self, body: dict[str, Any], location: str, version: int | None = None) -> Response:
        """Store and return the 201 answer, with `Location` and, for a versioned resource, its `ETag`."""
        assert self._is_claimed, "the route is no `OnceRoute`"
        headers = {"location": location} | ({"etag": etag(version)} if version is not None else {})
        answer = orjson.dumps(body)
        if self._key:
            commit = commit_of(self._session)
            published = outbox.document(commit.take(outbox.add_rows))
            given = (orjson.dumps(headers).decode(), answer.decode(), commit.tenant_id, self._key)
            await execute(self._session, _REMEMBER, published, *given)
        return Response(answer, 201, headers, "application/json")


class OnceRoute(APIRoute):
    """A route whose endpoint claims the key of its `Once`, if it has one, as it begins.

    A dependency that did so would run before FastAPI has said whether the body is valid.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        once = [name for name, kind in get_type_hints(endpoint).items() if kind is Once]
        super().__init__(path, _claiming(endpoint, once[0]) if once else endpoint, **given)


def _claiming(endpoint: Callable[..., Awaitable[Any]], once: str) -> Callable[..., Awaitable[Any]]:
    @wraps(endpoint)
    async def claim_first(**given: Any) -> Any:
        await given[once].claim()
        return await endpoint(**given)

    return claim_first


Key = Annotated[str | None, Header(description="A string of your choice; when you retry, repeat it and the body")]


async def create_once(request: Request, session: DatabaseSession, idempotency_key: Key = None) -> Once:
    """A dependency that yields the request's `Once`."""
    if idempotency_key is None:
        return Once(session, None)
    return Once(session, _checked(idempotency_key), await _fingerprint(request))


async def replay(request: Request, idempotency_key: Key = None) -> None:
    """Raise `Replay` if this request has been answered; for what a route asks of the world before its transaction.

    A retry is answered as the request was, whatever has changed since. Only authentication and permission come before.
    """
    if idempotency_key is not None:
        key, fingerprint, caller = _checked(idempotency_key), await _fingerprint(request), await identify(request)
        async with transaction(request.state.sessions, caller.tenant_id, caller.id) as session:
            await _replay(session, caller.tenant_id, key, fingerprint)


def fingerprint_secret(password: str | None) -> bytes:
    """The secret of the fingerprints: whoever reads the table without it cannot guess at a password in a body.

    It is made of the password of the database, which all replicas have and which is in no backup of the table. After that
    has changed, a retry of an older request is refused.
    """
    return hmac.digest(b"idempotency fingerprints", (password or "").encode(), "sha256")


def _checked(idempotency_key: str) -> str:
    key = idempotency_key.strip().strip('"')
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise InvalidIdempotencyKey()
    return key


async def _fingerprint(request: Request) -> str:
    """What equal requests share: of the same caller, to the same path, with the same bytes, secrets included."""
    caller = await identify(request)
    asked = orjson.dumps([request.method, request.scope["path"], str(caller.id)])
    return hmac.digest(request.state.fingerprint_secret, asked + await request.body(), "sha256").hex()


async def _replay(session: AsyncSession, tenant_id: UUID | None, key: str, fingerprint: str) -> None:
    for first in await execute(session, _FIND, tenant_id, key):
        if first["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused()
        raise Replay(first["status"], first["headers"], first["body"])


CreateOnce = Annotated[Once, Depends(create_once)]
ReplayFirst = Annotated[None, Depends(replay)]
