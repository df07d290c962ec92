"""`make up SCALE=…` by the verbs themselves: more of a service, and fewer again, at the same port and without an alert.

The stack is that of the compose files, under another name and on other ports.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest
from stack import __main__ as command_line
from stack.docker import engine

from tests.docker.own_stack import Stack
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)

SCALED = "budget-service"


@pytest.fixture
def stack(
    docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    """A project of its own, which is that of the verbs."""
    folder = tmp_path_factory.mktemp("scale")
    stack = Stack(folder)
    if not engine.has_image(
        Stack(tmp_path_factory.mktemp("front"), engine.FRONT).compose("config", "--images", "haproxy").strip()
    ):
        missing("there is no image of HAProxy here")
    monkeypatch.setattr(engine, "FILES", (*engine.FILES, str(folder / "own.yml")))
    for name, value in stack.settings.values.items():
        if name.endswith("_PORT"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", stack.name)
    monkeypatch.setenv("STATE_DIR", str(folder / "state"))
    engine.project.cache_clear()
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans")
        engine.remove_images(stack.images.values())
        engine.project.cache_clear()


def up(*scale: str) -> None:
    assert command_line.main(["up", "--mode", "docker", "--parts", "prometheus", *scale]) == 0


def running(stack: Stack) -> Counter[str]:
    """How many containers of each kind run."""
    return Counter(each["Service"] for each in engine.containers() if each["State"] == "running")


def firing(stack: Stack) -> set[tuple[str, str]]:
    """The alerts on services, each with its service, which fire or are about to."""
    alerts = stack.get("PROMETHEUS_PORT", "/api/v1/alerts")["data"]["alerts"]
    found = {(each["labels"]["alertname"], each["labels"].get("service", "")) for each in alerts}
    return {each for each in found if each[1].endswith("-service")}


def evaluated(stack: Stack) -> str:
    """When the alerts on services were last looked at; a Prometheus that has not done so has the year 1."""
    groups = stack.get("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
    return next(each["lastEvaluation"] for each in groups if each["name"] == "services")


def test_a_service_is_started_more_than_once_and_once_again_at_its_port(stack, docker):
    address = f"http://127.0.0.1:{stack.settings.port('BUDGET_PORT')}/health/ready"
    for scale, number, front in ((["--scale", "budget=2"], 2, 1), ([], 2, 1), (["--scale", "1"], 1, 0)):
        up(*scale)
        assert (running(stack)[SCALED], running(stack)["haproxy"]) == (number, front)
        assert httpx.get(address).status_code == 200
        counted = {SCALED: float(number)}
        for record in ("job:up:sum", "job:up:stated"):
            eventually(
                lambda counted=counted, record=record: stack.ask(f'{record}{{job="{SCALED}"}}') == counted,
                60,
                f"not all are seen by {record}",
            )
        assert command_line.main(["status"]) == 0
        if number == 2:
            docker("kill", f"{stack.name}-{SCALED}-2")
            eventually(lambda: ("ReplicaDown", SCALED) in firing(stack), 60, "nobody misses the one that was killed")
            eventually(lambda: stack.ask(f'job:up:sum{{job="{SCALED}"}}')[SCALED] == 1, 60, "it is not missed")
    seen = evaluated(stack)
    eventually(lambda: evaluated(stack) > seen, 60, "the alerts are not looked at")
    # The address of the other one may count for a minute; what `for` makes of it is no alert.
    eventually(lambda: not firing(stack), 120, "an instance is missed that nobody wants any more")
