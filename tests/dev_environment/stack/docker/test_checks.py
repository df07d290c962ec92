"""What keeps Docker mode from starting is found and comes with its cure."""

from pathlib import Path
from typing import Any

import pytest
from stack.docker import checks, engine

GB = 1_000_000_000


def model(*, memory: int = GB, mounts: tuple[Path, ...] = ()) -> dict[str, Any]:
    volumes = [{"type": "bind", "source": str(path)} for path in mounts]
    limits = {"resources": {"limits": {"memory": str(memory)}}}
    return {"elasticsearch": {"restart": "unless-stopped", "deploy": limits, "volumes": volumes}}


@pytest.mark.parametrize(("total", "state"), [(GB * 2, "ok"), (GB * 9 // 10, "warning"), (GB // 2, "error")])
def test_memory_is_held_against_the_limits_of_what_is_to_run(total, state):
    found = checks.memory(total, ["elasticsearch"], model())
    assert (found.state, "PARTS" in found.cure) == (state, state != "ok")


@pytest.mark.parametrize(("maps", "state"), [(65530, "warning"), (262144, "ok")])
def test_the_number_of_maps_is_what_elasticsearch_wants(tmp_path, maps, state):
    (tmp_path / "max_map_count").write_text(f"{maps}\n")
    [found] = checks.maps(tmp_path / "max_map_count")
    assert (found.state, "sysctl -w vm.max_map_count" in found.cure) == (state, state != "ok")


def test_a_mounted_file_that_others_cannot_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    mounted = tmp_path / "dev-environment"
    (mounted / "prometheus").mkdir(parents=True)
    file = mounted / "prometheus" / "prometheus.yml"
    file.touch(0o644)
    assert checks.readable(["elasticsearch"], model(mounts=(mounted,))).state == "ok"
    file.chmod(0o600)
    found = checks.readable(["elasticsearch"], model(mounts=(mounted,)))
    assert (found.state, str(file) in found.what) == ("error", True)
    assert found.cure == "chmod -R o+rX dev-environment"


@pytest.mark.parametrize(
    ("names", "running", "was_one_of_three", "is_refused"),
    [
        (["elasticsearch"], set(), True, True),
        (["elasticsearch"], set(), False, False),
        (["elasticsearch", "elasticsearch-2", "elasticsearch-3"], set(), True, False),
        (["elasticsearch"], {"elasticsearch", "elasticsearch-2"}, True, False),  # it is told before the others go
    ],
)
def test_one_of_three_nodes_is_not_started_alone(monkeypatch, names, running, was_one_of_three, is_refused):
    volumes = {name: {"name": f"all-erp_{name}"} for name in ("elasticsearch", "elasticsearch-2", "elasticsearch-3")}
    monkeypatch.setattr(engine, "project", lambda: {"volumes": volumes})
    monkeypatch.setattr(engine, "running", lambda: running)
    monkeypatch.setattr(engine, "volume_has", lambda *_: was_one_of_three)
    found = list(checks.nodes(names, {"elasticsearch": {"image": "elasticsearch"}}))
    assert [each.state for each in found] == ["error"] * is_refused
    assert all("`make up PARTS=ha`" in each.cure and "volume rm all-erp_elasticsearch " in each.cure for each in found)
