"""The fixtures of the tests that need a Docker Engine: the engine itself and a RabbitMQ; elastic.py has Elasticsearch."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from stack.ports import free_port

from tests.docker.elastic import elasticsearch, set_up_elasticsearch  # noqa: F401
from tests.docker.events import connection, consuming, service_name, transport  # noqa: F401
from tests.docker.images import image
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def docker() -> Callable[..., str]:
    """Run a docker command and get what it prints."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        missing("no Docker Engine answers")

    def run(*arguments: str) -> str:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    return run


@pytest.fixture(scope="module")
def rabbit(docker: Callable[..., str]) -> Iterator[tuple[str, Callable[..., str]]]:
    """A broker: its URL, and a way to run commands in its container."""
    name, port = f"all-erp-test-{uuid4().hex[:8]}", free_port()
    docker("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:5672", image("rabbitmq"))
    try:
        eventually(lambda: answers(docker, name), 60, "RabbitMQ does not answer")
        yield f"amqp://guest:guest@127.0.0.1:{port}/", lambda *command: docker("exec", name, *command)
    finally:
        docker("rm", "-f", "-v", name)


def answers(docker: Callable[..., str], name: str) -> bool:
    """Whether the broker in this container listens on its ports."""
    try:
        docker("exec", name, "rabbitmq-diagnostics", "-q", "check_port_connectivity")
    except subprocess.CalledProcessError:
        return False
    return True
