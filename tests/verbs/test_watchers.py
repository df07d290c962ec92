"""The watchers on the PATH live and end with the stack in local mode, and one that does not start keeps nobody from it."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from stack import ports, settings
from stack.local import processes, readiness, supervisor, watchers
from stack.services import SERVICES
from stack.settings import Settings

from tests.fixtures.local_stack import environment_of, verb
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

REFUSES = "#!/bin/sh\necho 'Error: unknown key frob'\nexit 1\n"
ANSWERS = f"""#!{sys.executable}
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
host, port = sys.argv[-1].rpartition("=")[2].split(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the verbs, with a Jaeger on the PATH that refuses its configuration, and an Alertmanager."""
    folder = tmp_path_factory.mktemp("bin")
    for name, program in (("jaeger", REFUSES), ("alertmanager", ANSWERS)):
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    environment = environment_of(tmp_path_factory.mktemp("stack")) | {"WATCHERS": "all"}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    yield environment
    verb(environment, "clean")


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Settings:
    return settings.read(environment, Path(os.devnull))


@pytest.fixture(scope="module")
def table(environment: dict[str, str]) -> str:
    """What the first start has printed."""
    done = verb(environment, "up", "--mode", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pid(stack: Settings, name: str) -> int:
    return supervisor.states(stack)[name]["pid"]


def test_one_that_does_not_start_is_named_with_the_reason_and_the_services_go_on(environment, stack, table):
    reason = f"Error: unknown key frob (the end of {stack.run / 'jaeger.out'})"
    assert f"jaeger watches nothing, and the services go on without it: {reason}" in table
    assert watchers.JAEGER.url(stack) not in table
    assert readiness.not_ready(stack, SERVICES) == {}
    status = verb(environment, "status")
    assert (status.returncode, reason in status.stdout) == (1, True)
    assert reason in verb(environment, "restart", "jaeger").stderr
    assert "Error: unknown key frob" in verb(environment, "logs", "--service", "jaeger").stdout
    eventually(lambda: verb(environment, "trace").returncode == 0)


def test_one_that_answers_is_in_the_table_and_comes_back_when_it_is_killed(environment, stack, table):
    assert watchers.ALERTMANAGER.url(stack) in table
    before = {name: each["pid"] for name, each in supervisor.states(stack).items() if name != "jaeger"}
    assert watchers.ALERTMANAGER.url(stack) in verb(environment | {"PATH": os.environ["PATH"]}, "up").stdout
    assert {name: pid(stack, name) for name in before} == before
    os.kill(before["alertmanager"], signal.SIGKILL)
    eventually(lambda: pid(stack, "alertmanager") not in (0, before["alertmanager"]))
    assert verb(environment, "restart", "alertmanager").returncode == 0
    assert pid(stack, "auth-service") == before["auth-service"]


def test_prometheus_reads_every_service_and_evaluates_every_rule(environment, stack, table):
    if not shutil.which("prometheus", path=environment["PATH"]):
        missing("there is no prometheus on the PATH")
    api = f"{watchers.PROMETHEUS.url(stack)}/api/v1"
    assert watchers.PROMETHEUS.url(stack) in table

    def targets() -> dict[str, str]:
        found = httpx.get(f"{api}/targets").json()["data"]["activeTargets"]
        return {each["labels"]["job"]: each["health"] for each in found}

    eventually(lambda: {targets()[each.name] for each in SERVICES} == {"up"}, 60)
    groups = httpx.get(f"{api}/rules").json()["data"]["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []


def test_up_continues_after_all_of_it_was_orphaned(environment, stack, table):
    known = supervisor.states(stack)
    psutil.Process(pid(stack, "alertmanager")).parent().kill()
    orphan = known["alertmanager"]["pid"]
    assert orphan in [each.pid for each in processes.of_stack(stack.state)]
    done = verb(environment, "up")
    assert (done.returncode, "Ending what is left of an earlier start" in done.stdout) == (0, True), done.stderr
    assert watchers.ALERTMANAGER.url(stack) in done.stdout
    assert not psutil.pid_exists(orphan)


def test_one_that_takes_its_time_is_no_failure(environment, stack, table):
    Path(shutil.which("jaeger", path=environment["PATH"])).write_text("#!/bin/sh\necho Loading\nexec sleep 600\n")
    restarted = verb(environment, "restart", "jaeger")
    assert restarted.returncode == 0, restarted.stderr
    reason = f"Loading (the end of {stack.run / 'jaeger.out'})"
    assert f"jaeger is not ready yet (`make status`): {reason}" in restarted.stdout
    status = verb(environment, "status")
    assert (status.returncode, reason in status.stdout) == (1, True)


def test_they_end_with_the_stack(environment, stack, table):
    assert verb(environment, "down").returncode == 0
    assert processes.of_stack(stack.state) == []
    assert ports.is_free(stack.port("ALERTMANAGER_PORT"))


def test_they_are_left_out_where_that_is_wanted_and_their_data_is_removed_with_the_other(environment, stack, table):
    without = environment | {"WATCHERS": "none"}
    assert verb(without, "up").returncode == 0
    assert supervisor.states(stack).keys() & {each.name for each in watchers.WATCHERS} == set()
    assert verb(without, "status").returncode == 0
    assert "There is no service 'alertmanager'" in verb(without, "restart", "alertmanager").stderr
    assert (stack.state / "watchers/alertmanager/alertmanager.yml").exists()
    assert f"Removed {stack.state / 'watchers'}" in verb(without, "clean").stdout
