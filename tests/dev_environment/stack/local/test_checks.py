"""What keeps local mode from starting is found and comes with its cure."""

import os
import socket
from pathlib import Path

import pytest
from stack import doctor
from stack.errors import StackError
from stack.local import checks
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
