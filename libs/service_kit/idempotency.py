"""`Idempotency-Key`: a POST that is sent again gets the first answer, and nothing is created twice.

The key is claimed by an insert in the request's own transaction: an equal request waits there until this one commits
and then finds its answer, and a request that fails leaves no key. Only successes are stored.
"""

import hashlib
import json
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.observability.redaction import is_secret
from libs.service_kit.auth import identify
from libs.service_kit.database import execute
from libs.service_kit.errors import BadRequest, Conflict, Invalid, ServiceError
from libs.service_kit.events import outbox
from libs.service_kit.preconditions import etag
from libs.service_kit.transactions import DatabaseSession, commit_of

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

    def __init__(self, session: AsyncSession, key: str | None) -> None:
        self._session = session
        self._key = key

    async def created(self, body: dict[str, Any], location: str, version: int | None = None) -> Response:
        """Store and return the 201 answer, with `Location` and, for a versioned resource, its `ETag`."""
        headers = {"location": location} | ({"etag": etag(version)} if version is not None else {})
        answer = orjson.dumps(body)
        if self._key:
            commit = commit_of(self._session)
            published = outbox.document(commit.take(outbox.add_rows))
            given = (orjson.dumps(headers).decode(), answer.decode(), commit.tenant_id, self._key)
            await execute(self._session, _REMEMBER, published, *given)
        return Response(answer, 201, headers, "application/json")


async def claim(
    request: Request,
    session: DatabaseSession,
    idempotency_key: Annotated[
        str | None, Header(description="A string of your choice; repeat it when you retry")
    ] = None,
) -> Once:
    """Claim the request's key. Raises `Replay` with the first answer when the key has been used for this request."""
    if idempotency_key is None:
        return Once(session, None)
    key = idempotency_key.strip().strip('"')
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise InvalidIdempotencyKey()
    caller = await identify(request)
    tenant_id = caller.tenant_id
    fingerprint = await _fingerprint(request, caller.id)
    try:
        if not await execute(session, _CLAIM, tenant_id, key, fingerprint):
            await _replay(session, tenant_id, key, fingerprint)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise RequestInProgress(headers={"Retry-After": "1"}) from None
    return Once(session, key)


async def _fingerprint(request: Request, caller_id: UUID) -> str:
    """A hash that equal requests share. Secrets are left out: a password could be guessed from a plain hash."""
    # FastAPI has not parsed the body yet. orjson would refuse some documents that FastAPI's parser accepts.
    body: Any = json.loads(await request.body() or b"{}")
    given = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    public = {name: value for name, value in given.items() if not is_secret(name)}
    asked = [request.method, request.scope["path"], str(caller_id), public]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


async def _replay(session: AsyncSession, tenant_id: UUID, key: str, fingerprint: str) -> None:
    [first] = await execute(session, _FIND, tenant_id, key)
    if first["fingerprint"] != fingerprint:
        raise IdempotencyKeyReused()
    raise Replay(first["status"], first["headers"], first["body"])


CreateOnce = Annotated[Once, Depends(claim)]
