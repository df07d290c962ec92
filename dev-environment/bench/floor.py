"""The floor: what the three signals cost when they are written by hand for this one application.

For each request it delivers what ours delivers: a server span with the same attributes and one span for the statement, an
access line with the same fields, a count and a duration bucket. It has nothing that another application or a bad day
needs: no parents from other services, errors, redaction, limits, exemplars, console, or context for other lines.
"""

import asyncio
import os
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable
from contextvars import ContextVar
from functools import lru_cache
from http.client import HTTPConnection
from json.encoder import encode_basestring_ascii as quote
from random import randbytes
from struct import Struct
from typing import Any
from uuid import uuid4

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TOGETHER, WAIT_SECONDS, PAUSE_SECONDS, BATCH = 48, 0.01, 0.05, 1024  # as ours has them
SERVICE = os.environ.get("OTEL_SERVICE_NAME", "floor")
ENVIRONMENT = os.environ.get("NODE_ENV", "development")
INSTANCE = uuid4()
_current: ContextVar[bytes | None] = ContextVar("current", default=None)  # trace id, span id and request id
_times = Struct("<BQBQ").pack


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80,)) + _varint(number >> 7)


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _attribute(key: str, value: object, number: int = 9) -> bytes:
    encoded = b"\x18" + _varint(value) if isinstance(value, int) else _field(1, str(value).encode())
    return _field(number, _field(1, key.encode()) + _field(2, encoded))


def _shared(name: str, kind: int, **attributes: object) -> bytes:
    """Name, kind, status (unset), flags (the parent is local) and attributes (`__` stands for a dot) of the spans of one kind."""
    made = [_attribute(key.replace("__", "."), value) for key, value in attributes.items()]
    return _field(5, name.encode()) + bytes((0x30, kind)) + b"\x7a\x00\x85\x01\x00\x01\x00\x00" + b"".join(made)


@lru_cache(maxsize=4096)
def _before_path(length: int) -> bytes:
    return _attribute("url.path", " " * length)[:-length]


@lru_cache(maxsize=4096)
def _before_span(length: int) -> bytes:
    return b"\x12" + _varint(length)


@lru_cache(maxsize=4)
def _line_start(second: int) -> str:
    return time.strftime('{"timestamp":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second))


class Floor:
    """The middleware. It writes requests down 48 at a time; a thread writes the lines and posts the spans."""

    def __init__(self, app: ASGIApp, engine: AsyncEngine) -> None:
        self._app, self._url = app, engine.url
        self._ended: list[tuple[Scope, int, int, float, bytes]] = []
        self._statements: list[tuple[str, bytes, int, int]] = []
        self._lines: deque[str] = deque()
        self._spans: deque[bytes] = deque()
        self._series: dict[tuple[str, str, int], list[float]] = {}
        self._kind, self._statement = lru_cache(4096)(self._describe), lru_cache(512)(self._describe_statement)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._thread.start()
        event.listen(engine.sync_engine, "do_execute", self._execute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            self._settle()
            self._stop.set()
            return self._thread.join()
        if scope["path"] == "/metrics":
            return await self._show(send)
        started_at, started, status, seconds = time.time_ns(), time.perf_counter(), 0, 0.0
        ids = randbytes(40)
        _current.set(ids)

        def note(message: Message) -> Awaitable[None]:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", ids[24:].hex().encode())]
            elif not message.get("more_body"):
                seconds = time.perf_counter() - started
            return send(message)

        await self._app(scope, receive, note)
        self._ended.append((scope, status, started_at, seconds, ids))
        if len(self._ended) >= TOGETHER:
            self._settle()
        elif len(self._ended) == 1:
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self._settle)
        return None

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """A hook of SQLAlchemy's dialect; True says that the statement has been executed."""
        ids = _current.get()
        if ids is None or not statement.startswith("SELECT"):  # SQLAlchemy's own, at its first connection
            return False
        begun = time.time_ns()
        context.dialect.do_execute(cursor, statement, parameters, context)
        self._statements.append((statement, ids, begun, time.time_ns()))
        return True

    def _settle(self) -> None:
        """Write down the requests and statements that have ended."""
        ended, self._ended, lines = self._ended, [], list[str]()
        for scope, status, started_at, seconds, ids in ended:
            agent = dict(scope["headers"]).get(b"user-agent", b"")
            place = (scope["scheme"], scope["http_version"], scope["server"], scope["client"][0], agent)
            shared, head, tail, series = self._kind(scope["method"], scope["route"].path_format, status, *place)
            ended_at = started_at + int(seconds * 1e9)
            path = scope["path"].encode()
            times = _times(0x39, started_at, 0x41, ended_at)
            self._add(ids[:16], ids[16:24], b"".join((times, shared, _before_path(len(path)), path)))
            series[bisect_left(BOUNDS, seconds)] += 1
            series[-1] += seconds
            second, rest = divmod(ended_at, 1_000_000_000)
            shown, milliseconds = ids.hex(), int(seconds * 1e6 + 0.5) / 1000
            lines.append(
                f'{_line_start(second)}{rest // 1000:06d}{head}{quote(scope["path"])}{tail}{milliseconds},"trace_id":'
                f'"{shown[:32]}","span_id":"{shown[32:48]}","request_id":"{shown[48:]}"}}\n'
            )
        self._lines.append("".join(lines))
        statements, self._statements = self._statements, []
        for statement, ids, begun, end in statements:
            times = _times(0x39, begun, 0x41, end)
            self._add(ids[:16], randbytes(8), b"".join((b"\x22\x08", ids[16:24], times, self._statement(statement))))

    def _add(self, trace_id: bytes, span_id: bytes, fields: bytes) -> None:
        content = b"".join((b"\x0a\x10", trace_id, b"\x12\x08", span_id, fields))
        self._spans.append(_before_span(len(content)) + content)

    def _describe(
        self, method: str, route: str, status: int, scheme: str, version: str, server: Any, client: str, agent: bytes
    ) -> tuple[bytes, str, str, list[float]]:
        """What requests of one kind share: their span's bytes, their line around the path, their counts."""
        shared = _shared(
            f"{method} {route}", 2, http__request__method=method, http__response__status_code=status, http__route=route,
            url__scheme=scheme, network__protocol__version=version, client__address=client, server__address=server[0],
            server__port=server[1], user_agent__original=agent.decode("latin-1"),
        )  # fmt: skip
        head = (
            f'Z","level":"info","service":{quote(SERVICE)},"environment":{quote(ENVIRONMENT)},"version":"dev","instance_id":"{INSTANCE}",'
            f'"message":"request handled","context":"http","http":{{"method":"{method}","route":{quote(route)},"path":'
        )
        tail = f',"status_code":{status},"client_ip":"{client}"}},"duration_ms":'
        return shared, head, tail, self._series.setdefault((route, method, status // 100), [0.0] * (len(BOUNDS) + 2))

    def _describe_statement(self, statement: str) -> bytes:
        words, url = statement.split(), self._url
        operation, table = words[0], words[words.index("FROM") + 1]
        return _shared(
            f"{operation} {table}", 3, db__system__name="postgresql", db__namespace=url.database,
            server__address=url.host, server__port=url.port, db__operation__name=operation, db__query__text=statement,
            db__collection__name=table,
        )  # fmt: skip

    def _deliver(self) -> None:
        """Write lines every 50 milliseconds, and post spans by the thousand, or once a second where they are fewer."""
        file = os.open(f"{os.environ['LOG_DIR']}/combined.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        collector = HTTPConnection(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://"))
        resource = _field(1, _attribute("service.name", SERVICE, 1))
        scope = _field(1, _field(1, b"bench.floor"))
        posted = time.monotonic()
        while not (last := self._stop.wait(PAUSE_SECONDS)) or self._lines or self._spans:
            os.write(file, "".join([self._lines.popleft() for _ in range(len(self._lines))]).encode())
            while self._spans and (last or len(self._spans) >= BATCH or time.monotonic() - posted > 1):
                spans = [self._spans.popleft() for _ in range(min(len(self._spans), BATCH))]
                body = _field(1, resource + _field(2, scope + b"".join(spans)))
                collector.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
                collector.getresponse().read()
                posted = time.monotonic()

    async def _show(self, send: Send) -> None:
        """The counts and buckets in Prometheus's format."""
        self._settle()
        lines: list[str] = []
        for (route, method, group), (*counts, seconds) in self._series.items():
            labels = f'handler="{route}",method="{method}"'
            lines.append(f'http_requests_total{{{labels},status="{group}xx"}} {sum(counts)}')
            for number, bound in enumerate((*BOUNDS, "+Inf"), 1):
                lines.append(f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {sum(counts[:number])}')
            lines.append(f"http_request_duration_seconds_count{{{labels}}} {sum(counts)}")
            lines.append(f"http_request_duration_seconds_sum{{{labels}}} {seconds}")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": "\n".join([*lines, ""]).encode()})
