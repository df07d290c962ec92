"""Refusals by name, and the one format in which every error is answered: application/problem+json (RFC 9457).

    ServiceError
      BadRequest 400   Unauthorized 401   Forbidden 403   NotFound 404   Conflict 409
      PreconditionFailed 412   Invalid 422   PreconditionRequired 428   TooManyRequests 429   Unavailable 503

A service defines a subclass for each refusal: `class BudgetExceeded(Conflict)` answers 409 with the type
`/problems/budget-exceeded`.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any, ClassVar, TypeVar

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import RouteContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from libs.observability import explain
from libs.observability.http import trace_id
from libs.service_kit import availability

SHOWN_ERRORS = 20
"""How many wrong fields one answer names: enough for a form, and a limit on the size of the answer."""
LONGEST_NAME = 100
"""How many characters of a field's name an answer repeats; clients choose the names."""


class ServiceError(Exception):
    """An expected refusal. `facts` are further members of the problem document; none may be a secret.

    `detail` says what is refused: in the OpenAPI document, and in every answer that is raised without a more precise
    one. It is not the docstring, since `python -OO` removes docstrings.
    """

    status: ClassVar[int] = 500
    detail: str

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        self.detail = detail or type(self).detail
        super().__init__(self.detail)
        self.headers = dict(headers or {})
        self.facts = facts

    @classmethod
    def slug(cls) -> str:
        """The class name as it stands in the problem's `type`: `budget-exceeded`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()


def _slug(phrase: str) -> str:
    """`Method Not Allowed` as `method-not-allowed`."""
    return re.sub(r"[^a-z]+", "-", phrase.lower())


class BadRequest(ServiceError):
    detail = "The request is malformed."
    status = 400


class Unauthorized(ServiceError):
    detail = "The request does not authenticate its caller."
    status = 401


class Forbidden(ServiceError):
    detail = "The caller is not permitted to do this."
    status = 403


class NotFound(ServiceError):
    detail = "The resource does not exist, or it belongs to another tenant."
    status = 404


class Conflict(ServiceError):
    detail = "A business rule does not allow this now."
    status = 409


class PreconditionFailed(ServiceError):
    detail = "The resource has changed since it was read; read it again."
    status = 412


class Invalid(ServiceError):
    detail = "The input is well-formed, but it is not valid."
    status = 422


class PreconditionRequired(ServiceError):
    detail = "An update must name the version that it changes: send the ETag as If-Match."
    status = 428


class TooManyRequests(ServiceError):
    detail = "The service has more requests than it can handle now; Retry-After says when to try again."
    status = 429


class Unavailable(ServiceError):
    detail = "A system that this service depends on does not answer now."
    status = 503


Row = TypeVar("Row")


def found(row: Row | None, missing: type[NotFound], identifier: object) -> Row:
    """The row. Raises `missing` with the identifier in its detail when there is no row."""
    if row is None:
        raise missing(f"{missing.detail.removesuffix('.')}: {identifier}.")
    return row


def problem(
    status: int,
    slug: str | None = None,
    *,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    **facts: Any,
) -> Response:
    """A problem document. Its type is `/problems/<slug>`, or `about:blank` when the status needs no explanation.

    The request's log line, span and counter show the same, except that of `errors` they have only pointers and codes.
    """
    wrong = [f"{each['pointer']} {each['code']}" for each in errors]
    explain(slug or _slug(HTTPStatus(status).phrase), detail, errors=wrong or None, **facts)
    members = {"detail": detail, **({"errors": errors} if errors else {}), **facts}
    body = {
        "type": f"/problems/{slug}" if slug else "about:blank",
        "title": slug.replace("-", " ").capitalize() if slug else HTTPStatus(status).phrase,
        "status": status,
        **members,
        "trace_id": trace_id(),
    }
    return Response(orjson.dumps(body, default=str), status, dict(headers or {}), "application/problem+json")


def problems(*refused: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that can raise these errors."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in refused:
        entry = by_status.setdefault(error.status, {"description": "", "content": PROBLEM_CONTENT})
        entry["description"] = "; ".join(filter(None, [entry["description"], f"`{error.slug()}`: {error.detail}"]))
        entry.setdefault(PROBLEM_TYPES, []).append(error.slug())
    return by_status


def problem_types(route: RouteContext) -> list[str]:
    """The types of problem that a route documents, and those that any route of the API can answer with."""
    if not getattr(route, "include_in_schema", False):
        return []
    described: Mapping[Any, Mapping[str, Any]] = getattr(route, "responses", None) or {}
    return [*USUAL_TYPES, *chain(*(entry.get(PROBLEM_TYPES, ()) for entry in described.values()))] if described else []


PROBLEM_TYPES = "x-problem-types"
"""The member of a documented response that names the types which it may have."""
USUAL_TYPES = ("unauthorized", "forbidden", "invalid-input", "unavailable", "overloaded", "internal-server-error")
PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "trace_id": {"type": ["string", "null"]},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}

Conflicts = Mapping[str, type[ServiceError]]
"""The refusal to answer when a database constraint is violated, by the constraint's name."""


def _pointer(location: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901). Each name is truncated, since the client chose the names of unknown fields."""
    names = (str(name)[:LONGEST_NAME].replace("~", "~0").replace("/", "~1") for name in location)
    return "/" + "/".join(names)


def _place(error: Mapping[str, Any]) -> Sequence[int | str]:
    """Where the error is. For a body that is not JSON, FastAPI adds a character offset, which is no field."""
    location: Sequence[int | str] = error["loc"]
    return location[:1] if error["type"] == "json_invalid" else location


def add_error_handlers(app: FastAPI, conflicts: Conflicts) -> None:
    """Answer every error, expected or not, with a problem document."""

    @app.exception_handler(ServiceError)
    async def refused(_: Request, error: ServiceError) -> Response:
        return problem(error.status, error.slug(), headers=error.headers, detail=error.detail, **error.facts)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, headers=error.headers, detail=str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        # The input is left out: it can hold a password, or a NaN, which JSON cannot represent.
        wrong = [
            {"pointer": _pointer(_place(e)), "code": e["type"], "detail": e["msg"]}
            for e in error.errors()[:SHOWN_ERRORS]
        ]
        return problem(422, "invalid-input", detail="The input does not match the schema.", errors=wrong)

    @app.exception_handler(StaleDataError)
    async def stale(_: Request, error: StaleDataError) -> Response:
        return problem(412, "precondition-failed", detail=PreconditionFailed.detail)

    @app.exception_handler(IntegrityError)
    async def constraint(_: Request, error: IntegrityError) -> Response:
        known = conflicts.get(getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) or "")
        if known is None:
            raise error
        return problem(known.status, known.slug(), detail=known.detail)

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeout)
    @app.exception_handler(OSError)
    async def unavailable(_: Request, error: Exception) -> Response:
        if not availability.note(error):
            raise error
        return problem(503, "unavailable", headers={"Retry-After": "1"}, detail="The database cannot answer now.")
