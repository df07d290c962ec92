"""The other end of a connection, on real sockets: an HTTP server that misbehaves on demand, and a door to the database."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

DROP = "close the connection without an answer"
HANG = "never answer"


def answer(status: int, body: object = None, content_type: str = "application/json", **headers: str) -> bytes:
    """An HTTP answer; text goes out as it is, anything else as JSON."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Peer:
    """Answers requests by its `script`, and with 200 and `{}` when that is at its end."""

    def __init__(self) -> None:
        self.url = ""
        self.script: list[bytes | str] = []
        self.connections = 0
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    async def asked(self) -> bool:
        """Whether a request has come."""
        return bool(self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection until the other side leaves it."""
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((method, path, headers, json.loads(body) if body else None))
                step = self.script.pop(0) if self.script else answer(200, {})
                if step == DROP:
                    break
                if step == HANG:
                    await reader.read()
                    break
                assert isinstance(step, bytes)
                writer.write(step)
                await writer.drain()
                if b"connection: close" in step:
                    break
        writer.close()


@asynccontextmanager
async def running_peer() -> AsyncIterator[Peer]:
    """A peer that listens at its `url`."""
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()


class Door:
    """A port that leads to another one while it is open; shut or slammed it cuts everything off, held it says nothing."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.slammed = False
        self.flows = asyncio.Event()
        self.flows.set()
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Let connections through, on the same port as before."""
        self.slammed = False
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def slam(self) -> None:
        """Take connections and end them at once, as a server does that is going down."""
        self.shut()
        await self.open()
        self.slammed = True

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.slammed:
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, inner_writer}
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer, self.flows))
        self._writers -= {writer, inner_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event | None = None) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            if flows:
                await flows.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
