"""Collectors that keep what they are sent: OTLP and Thrift over HTTP, Thrift over UDP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.transport import TTransport

from libs.observability.traces import jaeger

jaeger.exporter()  # makes the Thrift half importable
Agent = import_module("opentelemetry.exporter.jaeger.thrift.gen.agent.Agent")
Collector = import_module("opentelemetry.exporter.jaeger.thrift.gen.jaeger.Collector")


class Posts:
    """An HTTP endpoint that keeps every request: path, headers, body."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.status = 200
        self.refusals: list[int] = []
        """What the next requests are answered in place of `status`."""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []


@contextmanager
def http_collector() -> Iterator[Posts]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(posts.refusals.pop(0) if posts.refusals else posts.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    posts = Posts(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield posts
    server.shutdown()
    server.server_close()


@contextmanager
def udp_agent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(10)
        yield agent


def decode_otlp(body: bytes) -> list[str]:
    """The names of the spans of an export request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def decode_post(body: bytes) -> Any:
    """What a collector reads from the body of a POST."""
    batch = Collector.Batch()
    batch.read(TBinaryProtocol.TBinaryProtocol(TTransport.TMemoryBuffer(body)))
    return batch


def decode_packet(packet: bytes) -> Any:
    """What an agent reads from a packet: the argument of `emitBatch`."""
    protocol = TCompactProtocol.TCompactProtocol(TTransport.TMemoryBuffer(packet))
    name, _, _ = protocol.readMessageBegin()
    assert name == "emitBatch"
    arguments = Agent.emitBatch_args()
    arguments.read(protocol)
    return arguments.batch
