"""A server that takes the place of Loki: it keeps what is sent to its OTLP endpoint. It runs in a container of its own.

GET returns the bodies of all requests that it has accepted, each after its length in four bytes; PUT /<status> makes it
answer further requests with that status, and accept them only if it is 200.
"""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

accepted: list[bytes] = []
status = [200]


class FarEnd(BaseHTTPRequestHandler):
    """Answers as an OTLP endpoint does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/otlp/v1/logs":
            self.answer(404, b"")
            return
        if status == [200]:
            accepted.append(body)
        self.answer(status[0], b"")

    def do_PUT(self) -> None:
        status[:] = [int(self.path.removeprefix("/"))]
        self.answer(200, b"")

    def do_GET(self) -> None:
        self.answer(200, b"".join(len(each).to_bytes(4, "big") + each for each in list(accepted)))

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 3100), FarEnd).serve_forever()
