"""Two replicas of a service: Prometheus counts both and misses each, each has its own log files, and no write is lost.

The stack is that of the compose files with dev-environment/haproxy, under another name and on other ports.
"""

import json
from collections.abc import Callable, Iterator

import pytest
from stack import environment
from stack.docker import engine
from stack.services import SERVICES

from tests.chaos import books
from tests.chaos.load import Load
from tests.docker.own_stack import Stack
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)

REPLICATED = "budget-service"
NAMES = [each.name for each in SERVICES]


@pytest.fixture(scope="module")
def stack(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A new stack with two replicas of one service, both of which Prometheus scrapes."""
    stack = Stack(tmp_path_factory.mktemp("replicas"), engine.FRONT, BUDGET_REPLICAS="2", INSTANCES=f"{REPLICATED}=2")
    front = ["haproxy"] if engine.has_image(stack.compose("config", "--images", "haproxy").strip()) else []
    try:
        stack.compose("up", "--detach", "--build", "--wait", *NAMES, "prometheus", *front)
        eventually(lambda: answering(stack) == 2, 60, "Prometheus does not scrape both replicas")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans")
        engine.remove_images(stack.images.values())


def answering(stack: Stack) -> float:
    """How many replicas Prometheus counts."""
    return stack.ask("job:up:sum").get(REPLICATED, 0)


def test_each_replica_writes_files_of_its_own(stack):
    def writers(file: str) -> set[str]:
        lines = stack.compose("exec", "-T", "auth-service", "cat", f"/var/log/app/{REPLICATED}/{file}").splitlines()
        return {json.loads(line)["instance_id"] for line in lines}

    first, second = writers("combined.log"), writers("2/combined.log")
    assert (len(first), len(second), first & second) == (1, 1, set())


@pytest.fixture
def front(stack: Stack) -> None:
    """There is HAProxy in front of the replicas."""
    if "haproxy" not in stack.compose("ps", "--services").split():
        missing("there is no image of HAProxy here")


def under_load(stack: Stack, end: Callable[[str], object], start: Callable[[str], object]) -> Load:
    """Writers at work while a replica ends, and starts again after a while."""
    urls = {each.short: environment.url(each, stack.settings) for each in SERVICES}
    load = Load(urls, stack.settings.values, tenants=1, writers=3)
    replica = f"{stack.name}-{REPLICATED}-1"
    with load.running():
        eventually(lambda: len(load.attempts) > 30, 60, "the writers do not work")
        end(replica)
        ended = len(load.attempts)
        eventually(lambda: len(load.attempts) > ended + 60, 60, "the writers do not go on")
        start(replica)
        eventually(lambda: answering(stack) == 2, 60, "Prometheus does not scrape both replicas")
    assert load.surprises == []
    assert books.judge(load.ledger, load.found()) == books.Judged()
    return load


def test_a_replica_that_is_stopped_and_started_costs_no_request(front, stack, docker):
    load = under_load(stack, lambda name: docker("stop", name), lambda name: docker("start", name))
    assert [each for each in load.attempts if each.failure] == []


def test_a_replica_that_is_killed_costs_no_request_that_had_not_reached_it_and_no_write(front, stack, docker):
    load = under_load(stack, lambda name: docker("kill", name), lambda name: docker("start", name))
    failed = [each for each in load.attempts if each.failure]
    assert len(failed) <= 3, failed  # what each of the writers had under way


def test_prometheus_misses_one_replica_and_then_the_service_of_which_an_alert_is_on_its_way(stack, docker):
    eventually(lambda: answering(stack) == 2, 60, "Prometheus does not scrape both replicas")
    assert stack.ask(f'job:up:stated{{job="{REPLICATED}"}}') == {REPLICATED: 2}
    for left in (1, 0):
        docker("kill", f"{stack.name}-{REPLICATED}-{left + 1}")
        eventually(lambda left=left: answering(stack) == left, 120, "Prometheus does not miss it")
        assert stack.ask("job:up:max")[REPLICATED] == left

    def pending() -> bool:
        alerts = stack.get("PROMETHEUS_PORT", "/api/v1/alerts")["data"]["alerts"]
        return ("ServiceDown", REPLICATED) in {
            (each["labels"]["alertname"], each["labels"].get("service")) for each in alerts
        }

    eventually(pending, 60, "nobody hears that the service is down")
