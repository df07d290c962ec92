"""The fixtures of the tests that need a Docker Engine: the engine itself and a RabbitMQ; elastic.py has Elasticsearch."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from stack.ports import free_port
from stack.settings import DEFAULTS, ROOT

from tests.docker.elastic import elasticsearch, set_up_elasticsearch  # noqa: F401
from tests.docker.events import connection, consuming, service_name, transport  # noqa: F401
from tests.fixtures.strict import missing

BROKER_PORTS = ("RABBITMQ_PORT", "RABBITMQ_METRICS_PORT")


@pytest.fixture(scope="session")
def docker() -> Callable[..., str]:
    """Run a docker command and get what it prints."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        missing("no Docker Engine answers")

    def run(*arguments: str) -> str:
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    return run


@pytest.fixture(scope="module")
def start_broker(
    docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Callable[..., None]]]:
    """The container of a broker, and a way to start it: as plain compose does, with these variables set.

    Project, network, ports and volumes are its own.
    """
    project, ports = f"all-erp-test-{uuid4().hex[:8]}", {name: str(free_port()) for name in BROKER_PORTS}
    names = tmp_path_factory.mktemp("compose") / "names.json"
    own = {"networks": {"default": {"name": project}}, "volumes": {"app-logs": {"name": project}}}
    names.write_text(json.dumps(own))
    here = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("DOCKER")}

    def compose(*arguments: str, **variables: str) -> None:
        files = ("--env-file", os.devnull, "--file", "docker-compose.dev.yml", "--file", str(names))
        subprocess.run(
            ["docker", "compose", "--project-name", project, *files, *arguments],
            cwd=ROOT, env=here | ports | variables, check=True,
        )  # fmt: skip

    try:
        yield f"{project}-rabbitmq-1", lambda **variables: compose("up", "--detach", "--wait", "rabbitmq", **variables)
    finally:
        compose("down", "--volumes")


@pytest.fixture(scope="module")
def rabbit(docker: Callable[..., str], start_broker: tuple[str, Callable[..., None]]) -> tuple[str, Callable[..., str]]:
    """A broker with the stack's users: its URL for the administrator, and a way to run commands in its container."""
    name, start = start_broker
    start()
    address = docker("port", name, "5672")
    user, password = (DEFAULTS[f"RABBITMQ_{each}"] for each in ("USER", "PASSWORD"))
    return f"amqp://{user}:{password}@{address}/", lambda *command: docker("exec", name, *command)
