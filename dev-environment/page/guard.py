"""Only a browser on this machine, on a page of this page, is answered: its buttons start and stop things here."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")
# NiceGUI writes scripts and styles into the page, and makes functions of strings. Nothing comes from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class OnlyFromHere:
    """Middleware that refuses other names of this machine, which another site's name may have become, and other origins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not is_from_here(Headers(scope=scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            here = PlainTextResponse("This page is for http://127.0.0.1 and http://localhost only.\n", status_code=403)
            await here(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._app(scope, receive, answer)


def is_from_here(headers: Headers) -> bool:
    """Whether the request names this machine by a name that no other site can take, and comes from no other site."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        return urlsplit(f"//{host}").hostname in NAMES and origin in (None, f"http://{host}")
    except ValueError:
        return False
