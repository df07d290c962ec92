"""What the body of a request may cost: no byte of it is read before its sender is known, where the route wants to know.

A `LimitedRoute` asks, in this order: who sends it (401, 403), whether it is JSON (415), how large it is (413), whether
there is memory for it (503), whether it comes in time (408), and how much there is in it, and how deep (413, 422).
FastAPI alone reads and parses a body before it looks at any dependency, and its `max_body_size` would answer outside all
middleware: without an access line or a problem document.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from itertools import accumulate
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from libs.service_kit.auth import Authenticated
from libs.service_kit.shares import SHED, shed

MAX_ANONYMOUS_BODY_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_ANONYMOUS_VALUES = 100
MAX_VALUES = 2000
"""Of a body: `[{},{}…` takes 27 times its size when it is parsed, and each field that is wrong 20 µs and a kilobyte."""
MAX_DEPTH = 64
SMALL_BODY_BYTES = 64 * 1024
MAX_LARGE_BODIES_BYTES = 8 * 1024 * 1024
"""Of all bodies that the process holds at a time, without those that are small."""
PAUSE_SECONDS = 10.0
BODY_SECONDS = 60.0

_QUEUE = "large bodies"
SHED.labels(_QUEUE)

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_OPENING, _BRACKETS = b"[{", b"[]{}"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


class _Large:
    """The bytes of large bodies that the process holds."""

    held = 0


class LimitedRoute(APIRoute):
    """A route with limits for the bodies that it is sent."""

    max_body_bytes = MAX_BODY_BYTES
    max_values = MAX_VALUES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request: the checks, then FastAPI's own handler."""
        handle, is_read = super().get_route_handler(), self.body_field is not None
        guards = [each.call for each in _all(self.dependant) if isinstance(each.call, Authenticated)]
        anonymous = MAX_ANONYMOUS_BODY_BYTES, MAX_ANONYMOUS_VALUES
        limit, values = (self.max_body_bytes, self.max_values) if guards else anonymous

        async def limited(request: Request) -> Response:
            headers = dict(request.scope["headers"])
            length = headers.get(b"content-length", b"0")
            if length == b"0" and b"transfer-encoding" not in headers:
                return await handle(request)
            for guard in guards:
                await guard(request)
            if not _is_json(headers.get(b"content-type", b"")):
                raise HTTPException(415, "The body must be application/json.")
            if length.isdigit() and int(length) > limit:
                raise _too_large(limit)
            body = _Body(request.receive, limit)
            try:
                whole = Request(request.scope, body.receive)
                if is_read:
                    _check(await whole.body(), values)
                return await handle(whole)
            finally:
                _Large.held -= body.counted

        return limited


class _Body:
    """A body that is bounded in size and time, while it is received. The memory of a large one is counted."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._end = asyncio.get_running_loop().time() + BODY_SECONDS
        self._seen = 0
        self.counted = 0

    async def receive(self) -> Message:
        """The next part."""
        soon = asyncio.get_running_loop().time() + PAUSE_SECONDS
        try:
            async with asyncio.timeout_at(min(soon, self._end)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body has not come in time.") from None
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise _too_large(self._limit)
        if self._seen > SMALL_BODY_BYTES:
            _Large.held, self.counted = _Large.held + self._seen - self.counted, self._seen
            if _Large.held > MAX_LARGE_BODIES_BYTES:
                raise shed(_QUEUE)
        return message


def _all(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _all(each)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The body may have at most {limit} bytes.")


def _is_json(content_type: bytes) -> bool:
    essence = content_type.split(b";")[0].strip().lower()
    return essence == b"application/json" or (essence.startswith(b"application/") and essence.endswith(b"+json"))


def _check(body: bytes, most: int) -> None:
    """Refuse more than `most` values, more than `MAX_DEPTH` levels, and another encoding than UTF-8, which JSON must have."""
    if b"\0" in body:
        raise _invalid("json_invalid", "JSON is UTF-8 and has no NUL")
    containers = body.count(b"[") + body.count(b"{")
    if containers <= MAX_DEPTH and containers + body.count(b",") <= most:
        return
    bare = _STRING.sub(b"", body)
    if bare.count(b"[") + bare.count(b"{") + bare.count(b",") > most:
        raise HTTPException(413, f"The body may have at most {most} values.")
    brackets = bare.translate(None, _ALL_BUT_BRACKETS)
    if max(accumulate(1 if each in _OPENING else -1 for each in brackets), default=0) > MAX_DEPTH:
        raise _invalid("too_deep", f"JSON may be nested {MAX_DEPTH} levels deep")


def _invalid(code: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": code, "loc": ("body",), "msg": message, "input": None}])
