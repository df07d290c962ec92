"""The compose files as docker compose itself reads them, each alone and both in either order."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEV, DEVOPS = "docker-compose.dev.yml", "docker-compose.devops.yml"


@pytest.fixture(scope="module", params=[(DEV,), (DEVOPS,), (DEV, DEVOPS), (DEVOPS, DEV)], ids="+".join)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The rendered configuration, without .env and with none of our variables in the environment."""
    files = [part for file in request.param for part in ("--file", file)]
    command = ["docker", "compose", "--env-file", os.devnull, *files, "config", "--format", "json"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_project_network_and_log_volume_have_the_same_names(model):
    assert model["name"] == model["networks"]["default"]["name"] == "all-erp"
    assert model["volumes"]["app-logs"]["name"] == "all-erp-logs"


def test_no_container_needs_a_profile(model):
    assert [name for name, each in model["services"].items() if each.get("profiles")] == []


def test_every_container_is_bounded_and_pinned(model):
    for name, each in model["services"].items():
        assert int(each["deploy"]["resources"]["limits"]["memory"]) <= 1536 * 2**20, name
        assert each["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert each["restart"] == "no" or each["healthcheck"]["test"], name
        assert "build" in each or (":" in each["image"] and not each["image"].endswith(":latest")), name


def test_ports_are_published_on_this_machine_only(model):
    addresses = {port.get("host_ip") for each in model["services"].values() for port in each.get("ports", ())}
    assert addresses == {"127.0.0.1"}


def test_what_we_build_cannot_write_to_itself_and_stays_the_user_of_its_dockerfile(model):
    for name, each in model["services"].items():
        if "build" in each:
            assert (each["read_only"], each["cap_drop"], each.get("user")) == (True, ["ALL"], None), name
