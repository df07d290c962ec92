"""What a connection may cost before a request of it has reached the application: uvicorn's protocol, within limits.

uvicorn's parser takes headers of any size and waits for them for ever; its `limit_concurrency` counts idle connections too
and answers everybody alike, health checks first. What stands here bounds each connection, and how many there are: when
there are too many, the one that has owed a request for the longest time makes room. Slow bodies are the matter of
`limits`, which reads them.
"""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import orjson
from prometheus_client import Counter
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from libs.service_kit.answers import OVERLOADED
from libs.service_kit.availability import Failures

PIECE = 16 * 1024  # of what has been read: as much is parsed between two looks at the limits

HEAD, SLOW, MALFORMED, PIPELINED, CROWDED = REASONS = ("head", "slow", "malformed", "pipelined", "connections")
REFUSED = Counter(
    "http_connections_refused_total",
    "Connections that were ended before a request of theirs had reached the application, by reason",
    ["reason"],
)
for _reason in REASONS:
    REFUSED.labels(_reason)


class Refusal(Exception):
    """Why a connection is refused. One line a minute says so, with the number of those that were left out."""


REFUSALS = Failures("a connection was refused", Refusal)
ERRORS = logging.getLogger("uvicorn.error.connections")
ERRORS.setLevel(logging.ERROR)  # below that, uvicorn has a line for each request that is no HTTP


@dataclass(frozen=True)
class Limits:
    """What a connection may cost. The numbers fit a container of 256 MB, with up to 320 KiB for each connection."""

    connections: int = 256
    head_bytes: int = 64 * 1024
    """Of the request line and the headers; of what stands between two pieces of a body, and after it, as well."""
    head_lines: int = 100
    head_seconds: float = 10.0
    pipelined: int = 8
    linger_bytes: int = 1024 * 1024
    """How much is read of a body for which nobody waits, so that its sender reads the answer instead of a reset."""
    linger_seconds: float = 2.0


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, within `limits`."""

    limits: ClassVar = Limits()
    waiting: ClassVar[dict["LimitedProtocol", None]] = {}
    """The connections that owe a request or a part of it, the longest first."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = ERRORS
        self.unread = 0  # bytes since a request was whole, or a piece of its body
        self.whole = self.headers  # of the last request that is whole; each one begins with a new list
        self.discarded: int | None = None  # bytes since the last answer of this connection, once that is sent
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self.waiting), self)
            longest.refuse(503, CROWDED, f"There are more than {self.limits.connections} connections.")
        if self.discarded is None:
            self.waiting[self] = None
            self._end_after(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > PIECE:
            for start in range(0, len(data), PIECE):
                self.data_received(data[start : start + PIECE])
        elif self.discarded is not None:
            self.discarded += len(data)
            if self.discarded > self.limits.linger_bytes:
                self.transport.abort()
        else:
            super().data_received(data)
            if (self.headers is not self.whole or not self._is_answering()) and self.discarded is None:
                self._has_read_a_part(len(data))

    def send_400_response(self, msg: str) -> None:
        if self.discarded is None:  # otherwise it is a refusal of ours that has stopped the parser
            self.refuse(400, MALFORMED, msg)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined:
            self._refuse_pipeline()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) if self.unread else 0
        if size > self.limits.head_bytes or len(self.headers) > self.limits.head_lines:
            self._refuse_head()
            raise Refusal  # stops the parser
        if self.timer:
            self._stop_timer()
        super().on_headers_complete()
        self.headers = []  # trailers go here, and not into the headers by which the request is judged

    def on_body(self, body: bytes) -> None:
        self.unread = 0
        super().on_body(body)
        if self.pipeline and len(self.cycle.body) > self.limits.head_bytes:
            self._refuse_pipeline()

    def on_message_complete(self) -> None:
        self.waiting.pop(self, None)
        self.unread = 0
        super().on_message_complete()
        self.whole = self.headers

    def on_response_complete(self) -> None:
        is_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing() or not is_last:
            return
        if self.cycle.more_body:
            self._linger()  # the answer came early: nobody will read the rest
        else:
            self.waiting[self] = None

    def refuse(self, status: int, reason: str, detail: str) -> None:
        """End the connection, with a problem document if it can be the answer to what was sent last."""
        if self.transport.is_closing():
            return
        REFUSED.labels(reason).inc()
        REFUSALS.tell(Refusal(detail))
        is_answering, is_new = self._is_answering(), not self.cycle
        is_between = is_answering and (self.pipeline or self.cycle.response_started or not self.cycle.more_body)
        if self.discarded is not None or is_between or not (is_answering or is_new or self.unread):
            self.transport.abort()
            return
        if is_answering:
            self.cycle.disconnected = True  # what the application says now would come after our answer
        self.transport.write(_answer(status, detail))
        self._linger()

    def _has_read_a_part(self, size: int) -> None:
        """Bound what has come of a request that is not whole, and how long its head may take."""
        self.unread += size
        if self.unread > self.limits.head_bytes or len(self.headers or ()) > self.limits.head_lines:
            self._refuse_head()
        elif self.timer is None and not self._is_answering():
            self._end_after(self.limits.head_seconds)

    def _refuse_head(self) -> None:
        most = f"{self.limits.head_lines} headers and {self.limits.head_bytes} bytes"
        self.refuse(431, HEAD, f"A request line and its headers may have at most {most}.")

    def _refuse_pipeline(self) -> None:
        self.refuse(400, PIPELINED, "Too many requests have come before their answers.")
        raise Refusal  # stops the parser

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _stop_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def _end_after(self, seconds: float) -> None:
        self._stop_timer()
        self.timer = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        if self.discarded is None and self.unread:
            self.refuse(408, SLOW, f"The headers have not come within {self.limits.head_seconds:g} seconds.")
        else:
            self.transport.abort()

    def _linger(self) -> None:
        """Close the connection after what has been written, but read on for a little while."""
        self.discarded = 0
        self.waiting[self] = None
        self.transport.write_eof()
        self.flow.resume_reading()
        self._end_after(self.limits.linger_seconds)


def limited_by(limits: Limits) -> type[LimitedProtocol]:
    """The protocol of a server with limits of its own."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits, "waiting": {}})


def _answer(status: int, detail: str) -> bytes:
    kind, title = (OVERLOADED, "Overloaded") if status == 503 else ("about:blank", HTTPStatus(status).phrase)
    body = orjson.dumps({"type": kind, "title": title, "status": status, "detail": detail})
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "content-type: application/problem+json"]
    head += [f"content-length: {len(body)}", "connection: close", *(["retry-after: 1"] if status == 503 else [])]
    return "\r\n".join([*head, "", ""]).encode() + body
