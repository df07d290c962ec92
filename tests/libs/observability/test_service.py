"""One app, wired by one call, as a real process: what it leaves when it is asked, scraped and stopped."""

import ast
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from stack.ports import free_port

from tests.fixtures.telemetry import read_lines
from tests.fixtures.waiting import eventually
from tests.libs.observability.conftest import ROOT
from tests.libs.observability.receivers import decode_packet, http_collector, udp_agent

APP = """
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from libs.observability import get_logger, instrument

log = get_logger("UserController")

@asynccontextmanager
async def lifespan(app):
    log.info("opened")
    yield {"greeting": "hello"}
    log.info("closed")

app = FastAPI(lifespan=lifespan)

@app.get("/users/{id}")
def read(id: int) -> int:
    log.info("user read", userId=id)
    return id

instrument(app)
"""
MAIN = "import os, uvicorn; uvicorn.run('app:app', port=int(os.environ['PORT']), log_config=None, access_log=False)"
COMMAND_LINE = "import os, uvicorn.main; uvicorn.main.main(['app:app', '--port', os.environ['PORT']])"


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture
def serve(variables: dict[str, str], tmp_path: Path) -> Callable[..., object]:
    """`with serve(…) as (url, process):` the app is running; afterwards it has been told to stop and has."""
    (tmp_path / "app.py").write_text(APP)

    @contextmanager
    def run(program: str = MAIN, **given: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        port = free_port()
        environment = variables | {"PORT": str(port), "OTEL_TRACES_EXPORTER": "none"} | given
        environment = {name: value for name, value in environment.items() if value}
        with (tmp_path / "console").open("w") as console:
            process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=tmp_path, stderr=console)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_open(process, url)
            yield url, process
        finally:
            process.terminate()
            process.wait(20)

    return run


def wait_until_open(process: subprocess.Popen[str], url: str) -> None:
    def is_open() -> bool:
        assert process.poll() is None, "the app has ended"
        with suppress(urllib.error.URLError):
            get(url + "/metrics")
            return True
        return False

    eventually(is_open, failure="the app does not answer")


def test_sigterm_flushes_lines_and_spans(serve, tmp_path):
    logs, traces = tmp_path / "logs", tmp_path / "traces"
    with serve(TRACES_DIR=str(traces), OTEL_TRACES_EXPORTER="", OTEL_BSP_SCHEDULE_DELAY="60000") as (url, process):
        assert get(url + "/users/7") == "7"
    assert process.returncode == -signal.SIGTERM
    written = read_lines(logs)
    assert [line["message"] for line in written if line["context"] == "UserController"] == [
        "opened",
        "user read",
        "closed",
    ]
    assert written[-1]["message"].startswith("Finished server process")
    fields = {"timestamp", "level", "service", "environment", "version", "instance_id", "message", "context"}
    assert all(fields <= line.keys() for line in written)
    [request] = [line for line in written if line["message"] == "request handled"]
    [resource] = json.loads((traces / "spans.jsonl").read_text())["resourceSpans"]
    [span] = resource["scopeSpans"][0]["spans"]
    assert (span["name"], span["traceId"]) == ("GET /users/{id}", request["trace_id"])
    console = (tmp_path / "console").read_text()
    assert "user read  trace_id=" in console
    assert "\x1b[" not in console


def test_uvicorns_own_command_line_takes_our_form_and_has_no_second_access_line(serve, tmp_path):
    with serve(COMMAND_LINE) as (url, _):
        get(url + "/users/7")
    console = (tmp_path / "console").read_text()
    assert "INFO:" not in console
    assert console.count("/users/7") == 1
    assert "Application startup complete." in [line["message"] for line in read_lines(tmp_path / "logs")]


def test_a_server_that_is_given_the_app_takes_our_form_from_the_start_of_the_app(serve, tmp_path):
    """It configures its logging when the app has been made; only its first two lines come before the app starts."""
    with serve("import os, uvicorn; from app import app; uvicorn.run(app, port=int(os.environ['PORT']))") as (url, _):
        get(url + "/users/7")
    console = (tmp_path / "console").read_text()
    assert console.count("INFO:") == 2
    assert console.count("/users/7") == 1
    assert "Application startup complete." in [line["message"] for line in read_lines(tmp_path / "logs")]


def test_the_environment_of_the_original_wiring_starts_a_service(serve, tmp_path):
    metrics_port = free_port()
    with udp_agent() as agent:
        given = {
            "LOG_LEVEL": "info",
            "SERVICE_NAME": "auth-service",
            "NODE_ENV": "production",
            "JAEGER_AGENT_HOST": "127.0.0.1",
            "JAEGER_AGENT_PORT": str(agent.getsockname()[1]),
            "METRICS_PORT": str(metrics_port),
            "OTEL_TRACES_EXPORTER": "",
        }
        with serve(**given) as (url, _):
            get(url + "/users/7")
            assert 'http_requests_total{handler="/users/{id}",method="GET",status="2xx"} 1.0' in get(url + "/metrics")
            accept = {"accept": "application/openmetrics-text; version=1.0.0"}
            assert '# {trace_id="' in get(f"http://127.0.0.1:{metrics_port}/metrics", **accept)
        batch = decode_packet(agent.recv(70_000))
    assert (batch.process.serviceName, batch.spans[0].operationName) == ("auth-service", "GET /users/{id}")
    assert {(line["service"], line["environment"]) for line in read_lines(tmp_path / "logs")} == {
        ("auth-service", "production")
    }


def test_a_collector_that_is_gone_does_not_keep_the_process(serve):
    with http_collector() as collector:
        pass
    given = {"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with serve(**given) as (url, process):
        get(url + "/users/7")
    assert process.returncode == -signal.SIGTERM


def test_metrics_and_health_leave_no_line(serve, tmp_path):
    with serve() as (url, _):
        get(url + "/metrics")
    assert "request handled" not in {line["message"] for line in read_lines(tmp_path / "logs")}


def test_several_apps_may_run_in_one_process_one_after_the_other(run, tmp_path):
    program = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from libs.observability import instrument

for name in ("first", "second"):
    app = FastAPI()
    app.add_api_route(f"/{name}", lambda: None)
    telemetry = instrument(app)
    for _ in range(2):
        with TestClient(app) as client:
            client.get(f"/{name}")
            assert f'handler="/{name}"' in client.get("/metrics").text
telemetry.shutdown()
"""
    result = run(program, TRACES_DIR=str(tmp_path / "traces"))
    assert result.returncode == 0, result.stderr
    paths = [line["http"]["path"] for line in read_lines(tmp_path / "logs") if "http" in line]
    assert paths == ["/first", "/first", "/second", "/second"]
    batches = [json.loads(line) for line in (tmp_path / "traces" / "spans.jsonl").read_text().splitlines()]
    spans = [span["name"] for batch in batches for span in batch["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert spans == ["GET /first", "GET /first", "GET /second", "GET /second"]


def test_an_app_that_stops_leaves_the_lines_of_another_to_the_thread_that_writes(run):
    program = """
import asyncio, threading, time
from fastapi import FastAPI
from libs.observability import get_logger, instrument
from libs.observability.files import RotatingFile

write, writers = RotatingFile.write, []

def watched(file, data):
    writers.append(threading.current_thread().name)
    return write(file, data)

def log_a_line():
    writers.clear()
    get_logger("app").info("said")
    while not writers:
        time.sleep(0.01)
    print(*writers)

async def main():
    first, second = [app.router.lifespan_context(app) for app in apps]
    async with second:
        async with first:
            log_a_line()
        log_a_line()
    log_a_line()

RotatingFile.write = watched
apps = [FastAPI(), FastAPI()]
for app in apps:
    instrument(app)
asyncio.run(main())
"""
    result = run(program, OTEL_TRACES_EXPORTER="none")
    assert result.stdout.splitlines() == ["log-writer", "log-writer", "MainThread"], result.stderr


def test_the_layer_imports_nothing_of_ours_but_itself_and_that_by_relative_imports():
    sources = [path.read_text() for path in (ROOT / "libs" / "observability").rglob("*.py")]
    imports = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    plain = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
    absolute = {node.module for node in imports if not node.level} | {
        each.name for node in plain for each in node.names
    }
    ours = {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "dev-environment").iterdir()}
    assert any(node.level for node in imports)
    assert {"libs", "services"} < ours
    assert {name for name in absolute if name.split(".")[0] in ours} == set()
