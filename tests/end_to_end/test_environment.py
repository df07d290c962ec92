"""A service starts with the environment of requirement.md, and refuses to start with a wrong one."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from stack.ports import free_port
from stack.settings import ROOT

from tests.fixtures.waiting import eventually

# What every process gets; `start` adds a folder for log files, because the tests keep out of /var/log.
AROUND = {"PATH": os.environ["PATH"]}


def start(variables: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """Start the auth service with nothing but these variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "services.auth.main"],
        env=AROUND | {"LOG_DIR": str(folder / "logs")} | variables,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    """A UDP socket in the place of the Jaeger agent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(20)
        yield listening


def test_the_environment_as_asked_for_starts_a_service(tmp_path, agent):
    """It has the six variables of requirement.md; host and ports differ, since a running stack may hold the usual ports."""
    port, metrics_port = free_port(), free_port()
    asked_for = {
        "LOG_LEVEL": "info",
        "SERVICE_NAME": "auth-service",
        "NODE_ENV": "production",
        "JAEGER_AGENT_HOST": "127.0.0.1",
        "JAEGER_AGENT_PORT": str(agent.getsockname()[1]),
        "METRICS_PORT": str(metrics_port),
    }
    process = start(asked_for | {"PORT": str(port)}, tmp_path)
    try:
        eventually(lambda: process.poll() is None and answers(port), 30, "the service does not answer")
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/users").status_code == 401
        for each in (port, metrics_port):
            text = httpx.get(f"http://127.0.0.1:{each}/metrics").text
            assert 'auth_login_total{status="success"}' in text
            assert "process_cpu_seconds_total" in text
        datagram = agent.recv(65536)
        assert b"emitBatch" in datagram
        assert b"auth-service" in datagram
        assert b"/api/v1/users" in datagram
    finally:
        process.terminate()
        output, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM, errors  # it shuts down in order, then ends by the signal
    assert "Application shutdown complete" in output + errors
    written = (tmp_path / "logs" / "combined.log").read_text()
    assert '"service":"auth-service","environment":"production"' in written.replace('": "', '":"').replace(", ", ",")
    assert "request handled" in written
    assert "request handled" not in output + errors  # production's console, watched by nobody, leaves out routine lines


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"DATABASE__URL": "mysql://nobody@nowhere"}, "DATABASE__URL"),
        ({"EVENTS__TRANSPORT": "http"}, "EVENTS__CLIENT_SECRET"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"PORT": "-1"}, "PORT"),
        ({"METRICS_PORT": "x"}, "METRICS_PORT"),
        ({"HOST": "nohost.invalid"}, "HOST"),
        ({"EVENTS__TRANSPORT": "rabbitmq", "EVENTS__BROKER_URL": "http://h/"}, "EVENTS__BROKER_URL"),
    ],
)
def test_a_wrong_setting_is_one_line_and_the_end(tmp_path, variables, named):
    port = free_port()
    process = start({"PORT": str(port)} | variables, tmp_path)
    opened = False
    while process.poll() is None:
        opened = opened or answers(port)
        time.sleep(0.01)
    output, errors = process.communicate()
    assert process.returncode == 2
    assert not opened
    assert output == ""
    assert len(errors.splitlines()) == 1, errors
    assert named in errors


def answers(port: int) -> bool:
    """Whether a process listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
