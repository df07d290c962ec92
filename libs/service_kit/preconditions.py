"""Optimistic locking over HTTP: an `ETag` tells the version, and an update must name it in `If-Match`."""

import re
from typing import Annotated

from fastapi import Depends, Header

from libs.service_kit.entities import Entity
from libs.service_kit.errors import PreconditionFailed, PreconditionRequired


class Expected:
    """The version that the client believes it changes; `*` stands for any."""

    def __init__(self, if_match: Annotated[str | None, Header(max_length=100)] = None) -> None:
        if if_match is None:
            raise PreconditionRequired("send the thing's ETag as If-Match")
        self.given = if_match.strip()

    def check(self, row: Entity) -> None:
        """Raise `PreconditionFailed` unless the row has the expected version."""
        if self.given == "*":
            return
        known = re.fullmatch(r'"(\d{1,18})"', self.given)
        if known is None or int(known[1]) != row.version:
            raise PreconditionFailed("It has been changed meanwhile; read it again.", current=etag(row))


IfMatch = Annotated[Expected, Depends(Expected)]


def etag(row: Entity) -> str:
    """The row's version as a strong ETag."""
    return f'"{row.version}"'
