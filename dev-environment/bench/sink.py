"""An OTLP collector that counts spans by service and name, and can misbehave on request: `python -m bench.sink`.

It listens for spans on `PORT` and for commands on `CONTROL_PORT`: `GET /counts` and `GET /be/<behaviour>`.
"""

import asyncio
import json
import os
import re
from collections import Counter

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BEHAVIOURS = ("healthy", "refused", "silent", "slow", "unavailable")
SLOW_SECONDS = 5.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


class Sink:
    """The collector: its counts and its behaviour."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._behaviour = "healthy"
        self._counts: dict[str, Counter[str]] = {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def behave(self, behaviour: str) -> None:
        """Set the behaviour for all connections from now on."""
        self._behaviour = behaviour
        if self._server is not None:
            self._server.close()
            self._server = None
            for client in self._clients:
                client.transport.abort()
        if behaviour != "refused":
            self._server = await asyncio.start_server(self._receive, "127.0.0.1", self._port, limit=2**20)

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self._behaviour
        self._clients.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(_length(head))
                if behaviour == "silent":
                    await asyncio.Event().wait()
                if behaviour == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                if behaviour != "unavailable":
                    self._count(body)
                writer.write(UNAVAILABLE if behaviour == "unavailable" else OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    def _count(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            [service] = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
            names = self._counts.setdefault(service, Counter())
            for scope in resource.scope_spans:
                names.update(span.name for span in scope.spans)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one command."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        if path.startswith("/be/"):
            await self.behave(path.removeprefix("/be/"))
        body = json.dumps(self._counts).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return int(found[1]) if found else 0


async def main() -> None:
    """Collect spans until the process ends."""
    sink = Sink(int(os.environ["PORT"]))
    await sink.behave("healthy")
    async with await asyncio.start_server(sink.control, "127.0.0.1", int(os.environ["CONTROL_PORT"])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
