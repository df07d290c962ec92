"""Kibana's set-up sends the right requests in the right order, and fails when Kibana refuses one.

It runs here against a stand-in that answers as Kibana does; `make test-docker` runs it against Kibana itself.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

SETUP = Path(__file__).parents[2] / "dev-environment/kibana/setup.sh"
IMPORT = "POST /api/saved_objects/_import?overwrite=true"
DASHBOARD = "PUT /api/dashboards/app-logs"
STEPS = ["GET /api/status", "POST /api/data_views/data_view", "POST /api/data_views/default", IMPORT, DASHBOARD]

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


class Kibana(ThreadingHTTPServer):
    """A stand-in for Kibana that remembers its requests and gives the answers that a test has set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.received: dict[str, bytes] = {}
        self.answers = {IMPORT: (200, b'{"successCount":4,"success":true,"warnings":[]}')}


class Answering(BaseHTTPRequestHandler):
    """The handler of one request of the set-up."""

    server: Kibana

    def answer(self) -> None:
        step = f"{self.command} {self.path}"
        self.server.received[step] = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, body = self.server.answers.get(step, (200, b"{}"))
        if not self.headers.get("kbn-xsrf"):
            status, body = 400, b"Request must contain a kbn-xsrf header."
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def kibana() -> Iterator[Kibana]:
    server = Kibana()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def set_up(kibana: Kibana) -> Callable[[], subprocess.CompletedProcess[str]]:
    def run() -> subprocess.CompletedProcess[str]:
        url = f"http://127.0.0.1:{kibana.server_port}"
        environment = {"PATH": "/usr/bin:/bin", "KIBANA_URL": url, "JAEGER_URL": "http://localhost:26686"}
        return subprocess.run(["bash", SETUP], env=environment, capture_output=True, text=True, check=False)

    return run


def test_it_puts_the_data_view_the_searches_and_the_dashboard(kibana, set_up):
    done = set_up()
    assert (done.returncode, done.stderr) == (0, "")
    assert list(kibana.received) == STEPS
    view = json.loads(kibana.received["POST /api/data_views/data_view"])["data_view"]
    assert view["fieldFormats"]["trace_id"]["params"]["urlTemplate"] == "http://localhost:26686/trace/{{value}}"
    assert json.loads(kibana.received["POST /api/data_views/default"]) == {"data_view_id": view["id"], "force": True}
    assert kibana.received[IMPORT].count(b'"type": "search"') == 4
    assert json.loads(kibana.received[DASHBOARD])["title"] == "Application logs"
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("step", "status", "answer"),
    [
        ("POST /api/data_views/data_view", 403, b'{"message":"Forbidden"}'),
        (IMPORT, 200, b'{"successCount":2,"success":false,"errors":[{"id":"app-logs-trace"}]}'),
        (DASHBOARD, 400, b'{"message":"[panels.0]: unknown key"}'),
    ],
)
def test_it_fails_and_repeats_what_kibana_says_when_it_is_refused(kibana, set_up, step, status, answer):
    kibana.answers[step] = (status, answer)
    done = set_up()
    assert done.returncode == 1
    assert answer.decode() in done.stderr
    assert list(kibana.received)[-1] == step
