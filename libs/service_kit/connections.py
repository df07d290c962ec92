"""What a connection may cost before a request of it has reached the application: uvicorn's protocol, within limits.

uvicorn's parser takes headers of any size and waits for them for ever; its `limit_concurrency` counts idle connections too
and answers everybody alike, health checks first. What stands here bounds each connection, and how many there are: when
there are too many, the one that has owed a request for the longest time makes room. Slow bodies are the matter of
`limits`, which reads them.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from libs.service_kit.refusals import CROWDED, HEAD, MALFORMED, PIPELINED, SLOW, UNREAD, Refusal, answer, count

PIECE = 16 * 1024  # of what has been read: as much is parsed between two looks at the limits

ERRORS = logging.getLogger("uvicorn.error.connections")
ERRORS.setLevel(logging.ERROR)  # below that, uvicorn has a line for each request that is no HTTP


@dataclass(frozen=True)
class Limits:
    """What a connection may cost. The numbers fit a container of 256 MB, with up to 320 KiB for each connection."""

    connections: int = 256
    head_bytes: int = 16 * 1024
    """Of the request line and the headers; of what stands between two pieces of a body, and after it, as well."""
    head_lines: int = 100
    head_seconds: float = 10.0
    url_bytes: int = 8 * 1024
    url_parameters: int = 100
    """FastAPI parses them all before anybody is asked who they are: 30,000 take 40 ms."""
    unread_seconds: float = 10.0
    """How long a client may leave so much of its answers unread that nothing more can be written."""
    pipelined: int = 8
    linger_bytes: int = 1024 * 1024
    """How much is read of a body for which nobody waits, so that its sender reads the answer instead of a reset."""
    linger_seconds: float = 2.0


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, within `limits`."""

    limits: ClassVar = Limits()
    waiting: ClassVar[dict["LimitedProtocol", None]] = {}
    """The connections that owe a request or a part of it, or do not read, the longest first."""
    places: ClassVar[set["LimitedProtocol"]] = set()
    """The connections that count: all but those that have been told to end because there were too many."""

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
        self.unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.places.add(self)
        self.waiting[self] = None
        self._end_after(self.limits.head_seconds)
        if len(self.places) > self.limits.connections:
            next(iter(self.waiting)).make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.unread_timer and not self.transport.is_closing():
            self.unread_timer.cancel()
        if self._is_answering() and not self.cycle.more_body:
            self.waiting.pop(self, None)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._end_unread()  # otherwise it would stay until its last answer has been read

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
        if len(self.url) > self.limits.url_bytes or self.url.count(b"&") >= self.limits.url_parameters:
            most = f"{self.limits.url_parameters} parameters and {self.limits.url_bytes} bytes"
            self.refuse(414, HEAD, f"A URL may have at most {most}.")
            raise Refusal  # stops the parser
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
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._wait_for_reader()
        if self.transport.is_closing() or not is_last:
            return
        if self.cycle.more_body:
            self._linger()  # the answer came early: nobody will read the rest
        else:
            self.waiting[self] = None

    def make_room(self) -> None:
        """End the connection for a newcomer, at once: many may come before the loop turns."""
        detail = f"There are more than {self.limits.connections} connections."
        if self.transport.get_write_buffer_size():  # what is unread would keep it
            count(CROWDED, detail)
            self.transport.abort()
        elif self.discarded is not None:
            self.transport.abort()
        else:
            self.refuse(503, CROWDED, detail)
            self.transport.close()
        self._leave()

    def refuse(self, status: int, reason: str, detail: str) -> None:
        """End the connection, with a problem document if it can be the answer to what was sent last."""
        if self.transport.is_closing():
            return
        count(reason, detail)
        is_answering, is_new = self._is_answering(), not self.cycle
        is_between = is_answering and (self.pipeline or self.cycle.response_started or not self.cycle.more_body)
        if self.discarded is not None or is_between or not (is_answering or is_new or self.unread):
            self.transport.abort()
            return
        if is_answering:
            self.cycle.disconnected = True  # what the application says now would come after our answer
        self.transport.write(answer(status, detail))
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

    def _leave(self) -> None:
        """Count no more, and hold no memory for what has been sent."""
        self.places.discard(self)
        self.waiting.pop(self, None)
        self.headers = []
        self._stop_timer()
        if self.unread_timer:
            self.unread_timer.cancel()

    def _wait_for_reader(self) -> None:
        """Bound how long what is written waits to be read, and let a newcomer have the place meanwhile."""
        self.waiting.setdefault(self)
        if self.unread_timer:
            self.unread_timer.cancel()
        self.unread_timer = self.loop.call_later(self.limits.unread_seconds, self._end_unread)

    def _end_unread(self) -> None:
        count(UNREAD, "The answer has not been read in time.")
        self.transport.abort()

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
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits, "waiting": {}, "places": set()})
