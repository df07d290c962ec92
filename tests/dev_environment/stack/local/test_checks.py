"""What keeps local mode from starting is found and comes with its cure."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stack import doctor, postgres
from stack.errors import StackError
from stack.local import checks, supervisor
from stack.ports import free_port
from stack.settings import DEFAULTS, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ports = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    return Settings(DEFAULTS | ports | {"STATE_DIR": str(tmp_path)}, {})


@pytest.mark.parametrize(
    ("docker", "reason", "complaints"),
    [
        (None, "Docker is not installed", []),
        ("/usr/bin/docker", "", []),
        ("/usr/bin/docker", "no Docker Engine answers", ["Docker cannot be used: no Docker Engine answers"]),
    ],
)
def test_a_free_machine_has_nothing_to_complain_of_but_a_docker_without_an_engine(
    settings, monkeypatch, docker, reason, complaints
):
    monkeypatch.setattr(checks.shutil, "which", lambda _: docker)
    monkeypatch.setattr(checks.engine, "why_unavailable", lambda: reason)
    assert [each.what for each in doctor.require(checks.findings(settings))] == complaints


def test_a_taken_port_is_named_with_its_variable_and_its_holder(settings):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", settings.port("BUDGET_PORT")))
        squatter.listen()
        holder = rf"wanted for budget-service, is used by .*\(process {os.getpid()}\). .*set BUDGET_PORT in"
        with pytest.raises(StackError, match=holder):
            doctor.require(checks.findings(settings))


def test_a_watcher_whose_port_is_taken_keeps_nobody_from_starting(settings, tmp_path, monkeypatch):
    (tmp_path / "prometheus").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", settings.port("PROMETHEUS_PORT")))
        squatter.listen()
        cure = r"wanted for prometheus, .*set PROMETHEUS_PORT in .env to a free port\. It is left .*WATCHERS=none"
        (warning,) = doctor.require(checks.findings(settings))
        assert re.search(cure, str(warning))
        left_out = replace(settings, values={**settings.values, "WATCHERS": "none"})
        assert doctor.require(checks.findings(left_out)) == []


def test_watchers_want_more_room_on_the_disk_but_keep_no_service_from_starting(settings, tmp_path, monkeypatch):
    (tmp_path / "prometheus").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: (checks.LEAST_FREE, folder))
    [warning] = doctor.require(checks.findings(settings))
    assert warning.what == f"Only 500 MB are free in {tmp_path}, and 5000 may be needed with the watchers"
    left_out = replace(settings, values={**settings.values, "WATCHERS": "none"})
    assert doctor.require(checks.findings(left_out)) == []


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [("100% (v1)", True), ("a #b", True), ("a ;b", True), ("a#b;c", False), ("$HOME ü,{b}'\"`", False)],
)
def test_a_path_that_supervisord_cannot_read_is_named(settings, tmp_path, name, is_refused):
    moved = replace(settings, values={**settings.values, "STATE_DIR": str(tmp_path / name)})
    errors = [each.what for each in checks.findings(moved) if each.state == "error"]
    assert errors == [f"supervisord cannot read the path {tmp_path / name}"] * is_refused
    (moved.run).mkdir(parents=True)
    file = moved.run / "supervisord.conf"
    file.write_text(supervisor.configuration(moved, postgres.Server(tmp_path, 1, "p", tmp_path)))
    read = subprocess.run([sys.executable, "-c", READ_IT, str(file)], capture_output=True, text=True, check=False)
    assert (str(moved.run / "auth-service.out") in read.stdout.splitlines()) is not is_refused


READ_IT = """
import sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1]])
for group in options.process_group_configs:
    for process in group.process_configs:
        print(process.stdout_logfile)
"""
