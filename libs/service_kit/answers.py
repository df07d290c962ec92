"""What an answer of another service means, or a call without one: who has failed, and whether it is tried again."""

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import httpx2 as http
import orjson

from libs.service_kit.shares import Overloaded

Answer = TypeVar("Answer")
Read = Callable[[Any], Answer]
"""Returns what a caller needs from the JSON of an answer, which counts as unusable if that is not in it."""
OVERLOADED = f"/problems/{Overloaded.slug()}"


class Refused(Exception):
    """The other service answered 4xx, or that it has too much to do: its status and its problem document."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{status} {document.get('type')}")
        self.status = status
        self.document = document


class Failed(Exception):
    """An unusable answer, which counts for the breaker and is retried: 5xx, a redirect, or a success without its JSON."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


# Whatever httpx raises for a request: no connection, a broken answer, a body that cannot be decoded.
RETRIED = (http.RequestError, Failed)
# What this process does wrong or lacks: a request that is none; file descriptors, ports, memory.
OURS = (http.LocalProtocolError, http.UnsupportedProtocol)
OUR_ERRNOS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)


def read_answer(read: Read[Answer], status: int, content: bytes) -> Answer:
    """What the caller needs of a success. Raises `Refused` or `Failed`. A proxy in between may answer with anything."""
    if 400 <= status < 500 or (status == 503 and _problem(content).get("type") == OVERLOADED):
        raise Refused(status, _problem(content))
    if not 200 <= status < 300:  # redirects are not followed
        raise Failed(status)
    try:
        return read(orjson.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise Failed(status) from error


def is_theirs(error: BaseException, is_late: bool, deadline: asyncio.Timeout) -> bool:
    """Whether the other side has failed, and not this process; the caller may also have left, or its loop `is_late`."""
    if isinstance(error, asyncio.CancelledError):
        return deadline.expired() and not is_late
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OURS) or (isinstance(cause, OSError) and cause.errno in OUR_ERRNOS):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, RETRIED) and not (is_late and isinstance(error, http.TimeoutException))


def _problem(content: bytes) -> dict[str, Any]:
    """The problem document of a refusal, empty if there is none."""
    with suppress(ValueError):
        if isinstance(document := orjson.loads(content), dict):
            return cast("dict[str, Any]", document)
    return {}
