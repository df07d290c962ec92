"""The kinds of abuse, each bounded in time and number: `python -m bench_abuse.abuses KIND PORT SECONDS TOKEN`.

A kind is a number of senders, each of which opens a connection, sends what it has for as long as the other side takes it, and
begins again after a pause. They are a process of their own, with a low priority, so that on a small machine they take
no time from the server and from its legitimate client.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MIB = 2**20
PAUSE_SECONDS = 0.1  # of a sender between two connections
CROWD = 1500


@dataclass(frozen=True)
class Sent:
    """What one connection sends: first `head`, then `parts`, one each `every` seconds; then it waits for the end."""

    head: bytes
    parts: Callable[[], Iterator[bytes]] = lambda: iter(())
    every: float = 0.0
    is_loop: bool = False
    """Whether each part waits for the whole answer to what was sent before."""
    window: int = 0
    """The bytes of the connection's receive buffer, of which nothing is read; 0: the system's, and all is read."""


@dataclass(frozen=True)
class Abuse:
    """One kind: how many senders there are, and what each sends."""

    says: str
    senders: int
    sent: Callable[[str], Sent]


def post(path: str, *headers: str, length: int | None = None, token: str = "") -> bytes:
    """The head of a POST of JSON."""
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    known = [bearer(token)] if token else []
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", size, *known, *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def cut(data: bytes) -> Callable[[], Iterator[bytes]]:
    """The data in pieces."""
    return lambda: (data[start : start + 65536] for start in range(0, len(data), 65536))


def whole(path: str, body: bytes, *headers: str, token: str = "") -> Sent:
    """A whole request."""
    return Sent(post(path, *headers, length=len(body), token=token), cut(body))


def loop(path: str, *headers: str) -> Sent:
    """A GET, again and again, each after the answer to the one before."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode()
    return Sent(request, lambda: itertools.repeat(request), is_loop=True)


def bearer(token: str) -> str:
    """The header of a user."""
    return f"authorization: Bearer {token}"


def forged(header: str) -> str:
    """A token that nobody has signed, with this header in base64."""
    return bearer(".".join((header, _base64(b'{"exp":9999999999}'), _base64(b"s" * 64))))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def login() -> bytes:
    """A login that costs a password hash."""
    return json.dumps({"tenant": "platform", "email": "nobody@platform.test", "password": "x" * 20}).encode()


EVENTS, LOGIN, USERS = "/internal/events", "/api/v1/auth/login", "/api/v1/users"
GET = b"GET /api/v1/users HTTP/1.1\r\nhost: x\r\n"
OBJECTS = b"[" + b"{}," * (16 * MIB // 3) + b"{}]"
CHUNK = b"10000\r\n" + b"a" * 65536 + b"\r\n"
KEY = "idempotency-key: of-the-bench"
LONG = b"a" * 60_000
SCRIPT = b"/static-offline-docs/swagger-ui-bundle.js"
UNKNOWN = _base64(b'{"alg":"ES256","typ":"at+jwt","kid":"nobodys"}')

ABUSES = {
    "large-body": Abuse("16 MB of JSON without a token", 4, lambda _: whole(EVENTS, OBJECTS)),
    "unfinished-bodies": Abuse(
        "15 of 16 MB without a token", 100, lambda _: Sent(post(EVENTS, length=16 * MIB), cut(OBJECTS[: 15 * MIB]))
    ),
    "endless-header": Abuse(
        "a header without an end", 8, lambda _: Sent(GET + b"x: ", lambda: itertools.repeat(b"a" * 65536, 2000))
    ),
    "many-headers": Abuse(
        "headers without an end", 8, lambda _: Sent(GET, lambda: itertools.repeat(b"a: b\r\n" * 10_000, 2000))
    ),
    "half-heads": Abuse(
        "a header, one byte a second", 500, lambda _: Sent(GET, lambda: itertools.repeat(b"a", 60), 1.0)
    ),
    "slow-bodies": Abuse(
        "a login, one byte a second",
        500,
        lambda _: Sent(post(LOGIN, length=1000), lambda: itertools.repeat(b" ", 60), 1.0),
    ),
    "endless-body": Abuse(
        "chunks without an end", 8, lambda _: Sent(post(LOGIN), lambda: itertools.repeat(CHUNK, 20_000))
    ),
    "endless-trailers": Abuse(
        "a trailer without an end",
        8,
        lambda _: Sent(post(LOGIN) + b"0\r\nx: ", lambda: itertools.repeat(b"a" * 65536, 2000)),
    ),
    "deep-json": Abuse("16 KB of `[` as a login", 8, lambda _: whole(LOGIN, b"[" * 8000 + b"]" * 8000)),
    "deep-json-of-a-user": Abuse(
        "1 MB of `[` with a token and a key", 8, lambda token: whole(USERS, b'{"a":' + b"[" * MIB, KEY, token=token)
    ),
    "wide-json-of-a-user": Abuse(
        "1 MB of `{}` with a token", 8, lambda token: whole(USERS, OBJECTS[: MIB - 3] + b"{}]", token=token)
    ),
    "many-fields-of-a-user": Abuse(
        "1 MB of unknown fields with a token",
        8,
        lambda token: whole(USERS, json.dumps({f"a{i}": "x" * 80 for i in range(10_000)}).encode(), token=token),
    ),
    "pipeline": Abuse(
        "requests without an end", 8, lambda _: Sent(b"", lambda: itertools.repeat((GET + b"\r\n") * 1000, 2000))
    ),
    "many-connections": Abuse("connections that say nothing", CROWD, lambda _: Sent(b"")),
    "burst-of-half-heads": Abuse(
        "2,000 connections, 60 KB of a header each", 2000, lambda _: Sent(GET + b"x: " + LONG)
    ),
    "no-reader": Abuse(
        "8 requests for 1.5 MB, of which nothing is read",
        100,
        lambda _: Sent((b"GET " + SCRIPT + b" HTTP/1.1\r\nhost: x\r\n\r\n") * 8, window=4096),
    ),
    "long-query-of-a-user": Abuse(
        "8,000 parameters with a token",
        8,
        lambda token: loop("/api/v1/users?" + "&".join(f"a{i}=1" for i in range(8000)), bearer(token)),
    ),
    "long-cookie-of-a-user": Abuse(
        "12,000 cookies with a token", 8, lambda token: loop(USERS, bearer(token), "cookie: " + "a=b; " * 12_000)
    ),
    "unknown-keys": Abuse("tokens of a key that nobody knows", 40, lambda _: loop(USERS, forged(UNKNOWN))),
    "forged-tokens": Abuse("tokens with a wrong signature", 40, lambda token: loop(USERS, forged(token.split(".")[0]))),
    "nothing-there": Abuse("paths that there are not", 40, lambda _: loop("/nothing")),
    "metrics": Abuse("the page of metrics", 40, lambda _: loop("/metrics")),
    "document": Abuse("the OpenAPI document", 40, lambda _: loop("/openapi.json")),
    "keys": Abuse("the published keys", 40, lambda _: loop("/.well-known/jwks.json")),
    "logins": Abuse("logins in parallel", 40, lambda _: whole(LOGIN, login())),
}


async def send(port: int, sent: Sent, end: float) -> None:
    """One connection, until the other side has ended it or has answered all that was sent, or the time is over."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout_at(end):
            reader, writer = await _connect(port, sent.window)
            reading = loop.create_task(asyncio.sleep(0) if sent.is_loop else reader.read(65536))
            try:
                writer.write(sent.head)
                for part in sent.parts():
                    if sent.is_loop:
                        await _answer(reader)
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(sent.every)
                await reading
            finally:
                reading.cancel()
                writer.transport.abort()


async def _connect(port: int, window: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not window:
        return await asyncio.open_connection("127.0.0.1", port)
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue]  # of a socket, it can be paused
    return reader, writer


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read one answer, whose head says how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)


async def run(abuse: Abuse, port: int, seconds: float, token: str) -> int:
    """Send until the time is over; returns the number of connections."""
    end, sent, count = asyncio.get_running_loop().time() + seconds, abuse.sent(token), 0

    async def sender() -> None:
        nonlocal count
        while asyncio.get_running_loop().time() < end:
            count += 1
            await send(port, sent, end)
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(sender() for _ in range(abuse.senders)))
    return count


if __name__ == "__main__":
    os.nice(10)
    _, kind, to, duration, known = sys.argv
    print(asyncio.run(run(ABUSES[kind], int(to), float(duration), known)))
