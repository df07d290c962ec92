"""The kinds of abuse, each bounded in time and number: `python -m bench_abuse.abuses KIND PORT SECONDS TOKEN`.

A kind is a number of senders, each of which opens a connection, sends what it has for as long as the other side takes it, and
begins again after a pause. They are a process of their own, with a low priority, so that on a small machine they take
no time from the server and from its legitimate client.
"""

import asyncio
import contextlib
import itertools
import json
import os
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


@dataclass(frozen=True)
class Abuse:
    """One kind: how many senders there are, and what each sends."""

    says: str
    senders: int
    sent: Callable[[str], Sent]


def post(path: str, *headers: str, length: int | None = None, token: str = "") -> bytes:
    """The head of a POST of JSON."""
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    known = [f"authorization: Bearer {token}"] if token else []
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", size, *known, *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def cut(data: bytes) -> Callable[[], Iterator[bytes]]:
    """The data in pieces."""
    return lambda: (data[start : start + 65536] for start in range(0, len(data), 65536))


def whole(path: str, body: bytes, *headers: str, token: str = "") -> Sent:
    """A whole request."""
    return Sent(post(path, *headers, length=len(body), token=token), cut(body))


def login() -> bytes:
    """A login that costs a password hash."""
    return json.dumps({"tenant": "platform", "email": "nobody@platform.test", "password": "x" * 20}).encode()


EVENTS, LOGIN, USERS = "/internal/events", "/api/v1/auth/login", "/api/v1/users"
GET = b"GET /api/v1/users HTTP/1.1\r\nhost: x\r\n"
OBJECTS = b"[" + b"{}," * (16 * MIB // 3) + b"{}]"
CHUNK = b"10000\r\n" + b"a" * 65536 + b"\r\n"
KEY = "idempotency-key: of-the-bench"

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
    "logins": Abuse("logins in parallel", 40, lambda _: whole(LOGIN, login())),
}


async def send(port: int, sent: Sent, end: float) -> None:
    """One connection, until the other side has ended it or has answered all that was sent, or the time is over."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout_at(end):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            reading = loop.create_task(reader.read(65536))
            try:
                writer.write(sent.head)
                for part in sent.parts():
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(sent.every)
                await reading
            finally:
                reading.cancel()
                writer.transport.abort()


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
