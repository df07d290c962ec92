"""Optimistic locking over HTTP: an `ETag` names a version, and an update must repeat it in `If-Match`."""

import re
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Response

from libs.service_kit.entities import Entity
from libs.service_kit.errors import PreconditionFailed, PreconditionRequired, problems

Row = TypeVar("Row", bound=Entity)


class Expected:
    """The version that the client expects to change; `*` matches any."""

    def __init__(self, if_match: Annotated[str | None, Header(max_length=100)] = None) -> None:
        if if_match is None:
            raise PreconditionRequired()
        self.given = if_match.strip()

    def check(self, row: Entity) -> None:
        """Raise `PreconditionFailed` unless the row has the expected version."""
        if self.given == "*":
            return
        known = re.fullmatch(r'"(\d{1,18})"', self.given)
        if known is None or int(known[1]) != row.version:
            raise PreconditionFailed(current=etag(row.version))


IfMatch = Annotated[Expected, Depends(Expected)]


def etag(version: int) -> str:
    """A row's version as a strong ETag."""
    return f'"{version}"'


def with_etag(response: Response, row: Row) -> Row:
    """Set the ETag of the response to the row's version, and return the row."""
    response.headers["etag"] = etag(row.version)
    return row


def describe_preconditions(schema: dict[str, Any]) -> None:
    """Mark `If-Match` as required in an OpenAPI document, and add the refusals of the operations that have it.

    In code the header is optional, so that an update without it is answered 428 and not 422.
    """
    refusals = {str(status): entry for status, entry in problems(PreconditionFailed, PreconditionRequired).items()}
    for path in schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "if-match":
                    parameter["required"] = True
                    parameter["schema"] = {"type": "string", "maxLength": 100}
                    operation["responses"] |= refusals
