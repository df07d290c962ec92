"""RabbitMQ, PostgreSQL and its exporter take users and passwords of any characters from the compose files' variables."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from stack import env_file
from stack.ports import free_port

from libs.service_kit.events import rabbitmq
from libs.service_kit.settings import EventSettings
from tests.docker.images import compose_service
from tests.fixtures.local_stack import ODD
from tests.fixtures.waiting import eventually, eventually_async

NAMES = ("POSTGRES_PASSWORD", "RABBITMQ_USER", "RABBITMQ_PASSWORD")
ODD_ONES = {name: f"{ODD} of {name}" for name in NAMES}

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
            *("--env", "LANG=C.UTF-8", *given),  # as the official image of RabbitMQ has it
            *("--publish", f"127.0.0.1:{port}:{inner}", described["image"]),
        )
        return f"127.0.0.1:{port}"

    yield run
    docker("rm", "--force", "--volumes", *names)
    docker("network", "rm", network)


async def test_a_service_connects_to_the_broker(start):
    address = start("rabbitmq", 5672)
    user, password = (SecretStr(ODD_ONES[f"RABBITMQ_{each}"]) for each in ("USER", "PASSWORD"))
    url = EventSettings(
        broker_url=SecretStr(f"amqp://{address}/"), broker_user=user, broker_password=password
    ).broker_url
    assert url

    async def connected() -> bool:
        try:
            await (await rabbitmq.connect(url.get_secret_value())).close()
        except OSError:  # it starts
            return False
        return True

    await eventually_async(connected, 60, "the broker refuses the login")


def test_the_exporter_sees_the_server(start):
    start("postgres", 5432)
    address = start("postgres-exporter", 9187)
    eventually(lambda: "pg_up 1" in httpx.get(f"http://{address}/metrics").text, 60, "the exporter cannot log in")
