"""What keeps a stack from starting is found and comes with its cure."""

import os
import socket
from pathlib import Path

import pytest
from local import doctor
from local.ports import free_port
from local.settings import DEFAULTS, SettingError, Settings

GB = 1_000_000_000


def model(*, memory: int = GB, mounts: tuple[Path, ...] = ()) -> dict:
    volumes = [{"type": "bind", "source": str(path)} for path in mounts]
    limits = {"resources": {"limits": {"memory": str(memory)}}}
    return {"elasticsearch": {"restart": "unless-stopped", "deploy": limits, "volumes": volumes}}


@pytest.fixture
def settings(tmp_path):
    ports = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    return Settings(DEFAULTS | ports | {"STATE_DIR": str(tmp_path)}, {})


@pytest.mark.parametrize(
    ("docker", "lacking", "complaints"),
    [
        (None, "Docker is not installed", []),
        ("/usr/bin/docker", "", []),
        ("/usr/bin/docker", "no Docker Engine answers", ["Docker cannot be used: no Docker Engine answers"]),
    ],
)
def test_a_free_machine_has_nothing_to_complain_of_but_a_docker_without_an_engine(
    settings, monkeypatch, docker, lacking, complaints
):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: docker)
    monkeypatch.setattr(doctor.engine, "lacking", lambda: lacking)
    assert [each.what for each in doctor.require(doctor.for_local(settings))] == complaints


def test_a_taken_port_is_named_with_its_variable_and_its_holder(settings):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", settings.port("BUDGET_PORT")))
        squatter.listen()
        holder = rf"wanted for budget-service, is used by .*\(process {os.getpid()}\). .*set BUDGET_PORT in"
        with pytest.raises(SettingError, match=holder):
            doctor.require(doctor.for_local(settings))


@pytest.mark.parametrize(("total", "state"), [(GB * 2, "ok"), (GB * 9 // 10, "warning"), (GB // 2, "error")])
def test_memory_is_held_against_the_limits_of_what_is_to_run(total, state):
    found = doctor.memory(total, ["elasticsearch"], model())
    assert (found.state, "PARTS" in found.cure) == (state, state != "ok")


@pytest.mark.parametrize(("maps", "state"), [(65530, "warning"), (262144, "ok")])
def test_the_number_of_maps_is_what_elasticsearch_wants(tmp_path, maps, state):
    (tmp_path / "max_map_count").write_text(f"{maps}\n")
    [found] = doctor.maps(tmp_path / "max_map_count")
    assert (found.state, "sysctl -w vm.max_map_count" in found.cure) == (state, state != "ok")


def test_a_mounted_file_that_others_cannot_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    mounted = tmp_path / "dev-environment"
    (mounted / "prometheus").mkdir(parents=True)
    file = mounted / "prometheus" / "prometheus.yml"
    file.touch(0o644)
    assert doctor.readable(["elasticsearch"], model(mounts=(mounted,))).state == "ok"
    file.chmod(0o600)
    found = doctor.readable(["elasticsearch"], model(mounts=(mounted,)))
    assert (found.state, str(file) in found.what) == ("error", True)
    assert found.cure == "chmod -R o+rX dev-environment"


def test_every_error_is_told_at_once_and_warnings_do_not_stop_a_start():
    findings = [doctor.Finding(state, state, "cure") for state in ("ok", "warning", "error", "error")]
    assert [each.state for each in doctor.require(findings[:2])] == ["warning"]
    with pytest.raises(SettingError, match=r"^error. cure\nerror. cure$"):
        doctor.require(findings)
