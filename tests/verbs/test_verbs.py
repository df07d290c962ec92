"""Local mode as a newcomer uses it: the command line and real processes, with a folder and ports of its own."""

import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from stack import ports, report, settings
from stack.__main__ import main
from stack.environment import url
from stack.local import processes, readiness, supervisor
from stack.ports import free_port
from stack.services import ANSWERING, PAGE, PROBE, PROGRAMS, SERVICES, service_named
from stack.settings import ROOT, Settings

from libs.journey import people, steps
from libs.journey.client import Api
from tests.fixtures import runbooks
from tests.fixtures.local_stack import ELSEWHERE, verb
from tests.fixtures.waiting import eventually


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Settings:
    done = verb(environment, "up", "--mode", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    return settings.read(environment, Path(os.devnull))


def test_a_second_up_changes_nothing(environment, stack):
    before = {name: each["pid"] for name, each in supervisor.states(stack).items()}
    done = verb(environment, "up")
    assert (done.returncode, "running already" in done.stdout) == (0, True)
    assert {name: each["pid"] for name, each in supervisor.states(stack).items()} == before


def test_the_other_mode_is_refused_while_this_one_runs(environment, stack):
    done = verb(environment, "up", "--mode", "docker")
    assert (done.returncode, "runs in local mode" in done.stderr) == (1, True)
    assert verb(environment, "status").returncode == 0


def test_the_probe_runs_beside_the_services_and_no_verb_waits_for_it(environment, stack):
    page = f"http://127.0.0.1:{stack.port(PROBE.port_variable)}/metrics"
    eventually(lambda: len(re.findall(r"probe_success\{.+\} 1\.0", httpx.get(page).text)) == len(SERVICES))
    supervisor.stop_services(stack, [PROBE])
    assert verb(environment, "up").returncode == 0
    assert supervisor.states(stack)[PROBE.name]["statename"] in ("STARTING", "RUNNING")
    assert verb(environment, "restart", "probe").returncode == 0
    assert "can use every service" in verb(environment, "logs", "--service", "probe").stdout


def test_a_restart_without_a_name_restarts_all_but_postgres(environment, stack):
    before = {name: each["pid"] for name, each in supervisor.states(stack).items()}
    assert verb(environment, "restart").returncode == 0
    assert {name for name, each in supervisor.states(stack).items() if each["pid"] == before[name]} == {"postgres"}


def test_only_what_was_asked_is_ready_while_it_starts(stack, capsys):
    known = {name: each | {"statename": "STARTING"} for name, each in supervisor.states(stack).items()}
    report.processes(stack, known, {})
    assert set(re.findall(r"(?m)^ (\S+) +starting ", capsys.readouterr().out)) == {"probe", "postgres"}


def test_the_table_names_every_service_and_the_login(environment, stack):
    table = verb(environment, "up").stdout
    for service in SERVICES:
        assert f"http://127.0.0.1:{stack.port(service.port_variable)}/docs" in table
    assert f"http://127.0.0.1:{stack.port(PROBE.port_variable)}/metrics" in table
    assert stack.values["BOOTSTRAP__ADMIN_PASSWORD"] in table


def test_the_page_takes_no_more_memory_than_it_needs(stack):
    process = psutil.Process(supervisor.states(stack)[PAGE.name]["pid"])
    assert process.memory_info().rss < 150 * 1024 * 1024
    libraries = [each.path for each in process.memory_maps()]
    assert [path for path in libraries if "orjson" in path]
    assert [path for path in libraries if re.search("asyncpg|argon2|sqlalchemy", path)] == []


@pytest.mark.parametrize("name", ["budget-service", "postgres", "page"])
def test_what_is_killed_comes_back(environment, stack, name):
    killed = supervisor.states(stack)[name]["pid"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: supervisor.states(stack)[name]["pid"] not in (0, killed))
    eventually(lambda: not readiness.not_ready(stack, ANSWERING))
    assert verb(environment, "status").returncode == 0


def test_what_dies_again_and_again_soon_after_its_start_still_comes_back(stack):
    for _ in range(4):
        pid = eventually(lambda: supervisor.states(stack)[PROBE.name]["pid"])
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: supervisor.states(stack)[PROBE.name]["pid"] not in (0, pid))


def test_a_taken_port_is_named_with_its_variable(environment, stack, tmp_path):
    other = environment | {
        "STATE_DIR": str(tmp_path),
        "TENANT_PORT": str(free_port()),
        "POSTGRES_PORT": str(free_port()),
    }
    done = verb(other, "up", "--mode", "local")
    assert done.returncode == 1
    assert f"Port {environment['AUTH_PORT']}, wanted for auth-service" in done.stderr
    assert "AUTH_PORT in .env" in done.stderr
    assert f"Port {environment['GRAFANA_PORT']}, wanted for page" in done.stderr
    assert f"It is the stack of {stack.state}: `make down` in its checkout" in done.stderr
    assert not processes.of_stack(tmp_path)


def test_a_state_folder_that_cannot_be_created_is_named(environment, tmp_path):
    (tmp_path / "file").touch()
    done = verb(environment | {"STATE_DIR": str(tmp_path / "file" / "state")}, "up", "--mode", "local")
    assert done.returncode == 1
    assert f"STATE_DIR is {tmp_path / 'file' / 'state'}, which cannot be created: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_cannot_start_shows_why(environment, stack):
    system = service_named("system")
    supervisor.stop_services(stack, [system])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", stack.port(system.port_variable)))
        squatter.listen()
        done = verb(environment, "restart", "system")
    assert done.returncode == 1
    assert "address already in use" in done.stderr.lower()
    assert "make restart SERVICE=system" in done.stderr
    assert verb(environment, "restart", "system").returncode == 0


@pytest.fixture(scope="class")
def reader(stack: Settings) -> Iterator[dict[str, str]]:
    """What a reader of the runbooks fills in."""
    api = Api({each.short: url(each, stack) for each in SERVICES})
    platform = steps.log_in_to_platform(api, stack.values)
    created = steps.create_tenant(platform, people.company(1, secrets.token_hex(3)))
    steps.wait_until_active(platform, created.body["id"])
    with runbooks.reader(stack, created.trace_id) as values:
        yield values
    api.close()


# All but the verbs that need containers (PARTS, SCALE), and those that are no part of the stack.
VERBS = [each for each in runbooks.of("make") if not re.search("PARTS=|SCALE=|make (load|test)", each.text)]


class TestRunbooks:
    """What the runbooks tell to type; what it needs is gone before the stack goes down."""

    @pytest.mark.parametrize("code", VERBS, ids=lambda code: code.text)
    def test_a_verb_does_what_it_says(self, environment, reader, monkeypatch, capfd, code):
        """In this process, which has the stack's imports already; `make` itself says what it would run."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        command = shlex.split(runbooks.harmless(code, reader))
        done = subprocess.run(
            [*command, "--dry-run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert main(shlex.split(done.stdout.partition(" -m stack ")[2].replace("\\\n", ""))) == 0, (
            capfd.readouterr().err
        )

    @pytest.mark.parametrize("code", runbooks.of("host"), ids=lambda code: code.text)
    def test_a_command_does_what_it_says(self, environment, reader, code):
        own = {name: value for name, value in environment.items() if name not in ELSEWHERE}  # curl is the reader's
        runbooks.run(runbooks.harmless(code, reader), own)


def test_what_the_page_takes_is_measured_on_the_running_stack_and_the_page_goes_on(environment, stack):
    command = [sys.executable, "-m", "bench_page", "--rounds", "1", "--seconds", "0.5", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert min(*measured["requests_per_second"].values(), *measured["cpu_us"].values(), measured["page_mib"]) > 0
    assert readiness.not_ready(stack, [PAGE]) == {}


def test_a_password_that_the_administrator_has_chosen_is_not_shown_as_another(environment, stack):
    api, given = Api({each.short: url(each, stack) for each in SERVICES}), stack.values["BOOTSTRAP__ADMIN_PASSWORD"]
    assert given in verb(environment, "up").stdout
    admin = steps.log_in_to_platform(api, stack.values)
    steps.change_password(admin, given, "chosen-by-a-person")
    try:
        told = verb(environment, "up").stdout
        assert given not in told
        assert "(another, chosen since)" in told
    finally:
        steps.change_password(admin, "chosen-by-a-person", given)
    assert given in verb(environment, "up").stdout


def test_keys_are_rotated_by_a_verb(environment, stack):
    done = verb(environment, "rotate-keys")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"The key \S+ is published, and signs from .* UTC\.\n", done.stdout)
    assert len(httpx.get(f"{url(service_named('auth'), stack)}/.well-known/jwks.json").json()["keys"]) == 2


def test_down_leaves_no_process_and_keeps_the_data(environment, stack):
    assert verb(environment, "down").returncode == 0
    assert processes.of_stack(stack.state) == []
    used = [each.port_variable for each in PROGRAMS] + ["POSTGRES_PORT"]
    assert [name for name in used if not ports.is_free(int(environment[name]))] == []
    assert verb(environment, "status").returncode == 1


def test_the_databases_are_looked_at_again_after_a_start_that_failed_and_for_other_settings(environment, stack):
    assert verb(environment, "down").returncode == 0
    assert "up to date" in verb(environment, "up").stdout  # since a service could not start before
    assert verb(environment, "down").returncode == 0
    assert "up to date" not in verb(environment, "up").stdout
    assert "up to date" in verb(environment | {"PROBE": "0"}, "up").stdout


def test_the_probe_can_be_left_out(environment, stack):
    assert verb(environment | {"PROBE": "0"}, "up").returncode == 0
    done = verb(environment, "status")
    assert (done.returncode, "probe" in done.stdout) == (0, False), done.stderr
    done = verb(environment, "restart", "probe")
    assert (done.returncode, done.stderr.count("`make up` starts it")) == (1, 1)


def test_clean_says_what_it_removes(environment, stack):
    done = verb(environment, "clean")
    assert f"Removed {stack.state / 'logs'}" in done.stdout
    assert sorted(path.name for path in stack.state.iterdir()) == ["lock"]
    assert verb(environment, "clean").stdout.strip().endswith("There was nothing to remove")
