"""PostgreSQL and its exporter take passwords of any characters, and Grafana a later one; so does RabbitMQ in test_broker.py."""

import shlex
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from stack import env_file, report
from stack.docker import logins
from stack.ports import free_port
from stack.settings import DEFAULTS, Settings

from tests.docker.images import compose_service, image
from tests.docker.official import official
from tests.fixtures.local_stack import ODD
from tests.fixtures.waiting import eventually

ODD_ONES = {"POSTGRES_PASSWORD": ODD}

Start = Callable[[str, int], str]


@pytest.fixture
def start(docker: Callable[..., str]) -> Iterator[Start]:
    """Start a container of the compose files with the odd secrets, and publish a port of it: `start(service, inner port)`."""
    network = docker("network", "create", f"all-erp-test-{uuid4().hex[:8]}")
    names: list[str] = []

    def run(service: str, inner: int) -> str:
        described, port = compose_service(service), free_port()
        variables = {name: env_file.expand(str(value), ODD_ONES) for name, value in described["environment"].items()}
        given = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        names.append(f"all-erp-test-{uuid4().hex[:8]}")
        docker(
            *("run", "--detach", "--name", names[-1], "--network", network, "--network-alias", service),
            *given,
            *("--publish", f"127.0.0.1:{port}:{inner}", described["image"]),
        )
        return f"127.0.0.1:{port}"

    yield run
    if names:
        docker("rm", "--force", "--volumes", *names)
    docker("network", "rm", network)


def container_at(docker: Callable[..., str], address: str) -> str:
    return docker("ps", "--quiet", "--filter", f"publish={address.partition(':')[2]}")


def test_grafana_gets_a_later_password_by_the_command_that_is_shown(start, docker):
    official(docker, image("grafana"))
    address = start("grafana", 3000)
    port = address.partition(":")[2]
    eventually(lambda: is_well(f"http://{address}/api/health"), 120, "Grafana does not answer")
    later = Settings(DEFAULTS | {"GRAFANA_PORT": port, "GRAFANA_ADMIN_PASSWORD": ODD}, {})
    assert logins.is_refused_by_grafana(later)
    command = shlex.split(report.RESET_GRAFANA.partition(" exec grafana ")[2])
    docker("exec", f"--env=GF_SECURITY_ADMIN_PASSWORD={ODD}", container_at(docker, address), *command)
    assert not logins.is_refused_by_grafana(later)


def is_well(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_the_exporter_sees_the_server(start):
    start("postgres", 5432)
    address = start("postgres-exporter", 9187)
    eventually(lambda: "pg_up 1" in httpx.get(f"http://{address}/metrics").text, 60, "the exporter cannot log in")
