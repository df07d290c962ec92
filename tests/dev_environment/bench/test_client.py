"""The bench's client counts every response of the server, and reads wrk's report correctly."""

import http.server
import threading
from collections.abc import Iterator

import pytest
from bench import client


class Server(http.server.ThreadingHTTPServer):
    """Counts its responses, all of which have the status `status`."""

    status = 200
    answered = 0


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.path.encode() * 5000  # more than one packet
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            with lock:
                self.server.answered += 1

        def log_message(self, format: str, *args: object) -> None: ...

    lock = threading.Lock()
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def test_every_answer_is_counted_and_timed(server):
    seen = client.load(server.server_address[1], "/items/7", connections=4, seconds=0.2)
    assert seen.answers == server.answered >= 4
    assert 0 < seen.p50_ms <= seen.p99_ms <= seen.seconds * 1000
    assert seen.rps == seen.answers / seen.seconds


def test_an_answer_that_is_no_success_ends_the_round(server):
    server.status = 503
    with pytest.raises(client.LoadError, match="503"):
        client.load(server.server_address[1], "/items/7", connections=1, seconds=0.2)


WRK = """Running 1s test @ http://127.0.0.1:29871/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.05ms    1.30ms  19.11ms   93.41%
    Req/Sec     1.93k   234.07     2.25k    70.00%
  Latency Distribution
     50%  870.00us
     75%    1.22ms
     90%    2.70ms
     99%    7.41ms
  1924 requests in 1.10s, 1.13MB read
Requests/sec:   1749.09
Transfer/sec:      1.03MB
"""


def test_wrks_report_is_read():
    seen = client.parse_wrk(WRK)
    assert (seen.answers, seen.seconds, seen.p50_ms, seen.p99_ms) == (1924, 1.1, 0.87, 7.41)
