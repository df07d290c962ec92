"""Checks on a request before its body is read: the size, and that the content type is JSON."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.service_kit.errors import problem

MAX_BODY_BYTES = 1024 * 1024
MAX_INTERNAL_BODY_BYTES = 16 * MAX_BODY_BYTES
"""For a batch of events, which another service of the platform sends."""


class RequestLimits:
    """Answers 413 to a body that is too large, with or without a Content-Length, and 415 to one that is not JSON.

    FastAPI's `max_body_size` would answer outside all middleware: without an access line or a problem document.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on and count the bytes of its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        has_body = b"transfer-encoding" in headers or length not in (b"", b"0")
        limit = MAX_INTERNAL_BODY_BYTES if scope["path"].startswith("/internal/") else MAX_BODY_BYTES
        if length.isdigit() and int(length) > limit:
            await problem(413, detail=_too_large(limit))(scope, receive, send)
        elif has_body and not _is_json(headers.get(b"content-type", b"")):
            await problem(415, detail="The body must be application/json.")(scope, receive, send)
        else:
            await self.app(scope, _counted(receive, limit) if has_body else receive, send)


def _too_large(limit: int) -> str:
    return f"The body may have at most {limit} bytes."


def _is_json(content_type: bytes) -> bool:
    essence = content_type.split(b";")[0].strip().lower()
    return essence == b"application/json" or (essence.startswith(b"application/") and essence.endswith(b"+json"))


def _counted(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted
