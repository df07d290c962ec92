"""Whatever a service or Prometheus answers while it is broken, the watch goes on."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from stack.settings import DEFAULTS, Settings

from tests.chaos.watching import Watch

PAGE = "process_start_time_seconds 7\nprocess_resident_memory_bytes 9\n"


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = server.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "answer", [(503, PAGE), (200, "<html>"), (200, ""), (200, "[]"), (200, "process_start_time_seconds x")]
)
def test_a_page_that_is_not_the_one_asked_for_is_skipped(server, answer, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    watch = Watch(
        Settings(DEFAULTS | {"AUTH_PORT": str(server.server_port), "PROMETHEUS_PORT": str(server.server_port)}, {})
    )
    watch._urls = {"auth-service": watch._urls["auth-service"]}
    server.answer = answer
    watch.look()
    watch._ask_prometheus()
    assert (watch.started, watch.fired) == ({}, {})
    server.answer = (200, PAGE)
    watch.look()
    assert (watch.started, watch.most_memory) == ({"auth-service": 7}, {"auth-service": 9})
