"""The real promtool accepts the configuration, and finds that each alert fires when it should and only then."""

import subprocess
from collections.abc import Callable

import pytest
import yaml

from tests.docker.images import ROOT, image

FOLDER = ROOT / "dev-environment/prometheus"


@pytest.fixture
def promtool(docker: Callable[..., str]) -> Callable[..., str]:
    """Run promtool from the image of Prometheus, with our configuration mounted."""

    def run(*arguments: str) -> str:
        mount = f"{FOLDER}:/etc/prometheus:ro"
        return docker("run", "--rm", "-v", mount, "--entrypoint", "promtool", image("prometheus"), *arguments)

    return run


def test_the_configuration_and_its_rules_are_valid(promtool):
    promtool("check", "config", "--lint=all", "--lint-fatal", "/etc/prometheus/prometheus.yml")


@pytest.mark.parametrize("file", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(promtool, file):
    """`make test-rules` runs the same cases, rule by rule; here all rules are loaded at once."""
    try:
        promtool("test", "rules", f"/etc/prometheus/tests/{file.name}")
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stdout + error.stderr)


@pytest.fixture
def started(docker: Callable[..., str]) -> Callable[[str], str]:
    """What the container's start makes of INSTANCES, after promtool has read it; nothing runs afterwards."""

    def start(instances: str) -> str:
        mounts = ("-v", f"{FOLDER}:/etc/prometheus:ro", "-e", f"INSTANCES={instances}", "--entrypoint", "sh")
        written = "/prometheus/rules/stated.yml"
        script = f"sh /etc/prometheus/start.sh --version >&2 && promtool check rules {written} >&2 && cat {written}"
        return docker("run", "--rm", *mounts, image("prometheus"), "-c", script)

    return start


def test_what_is_stated_becomes_rules(started):
    (group,) = yaml.safe_load(started("budget-service=2 jaeger=0"))["groups"]
    assert group["rules"] == [
        {"record": "job:up:stated", "expr": f"vector({number})", "labels": {"job": job}}
        for job, number in (("budget-service", 2), ("jaeger", 0))
    ]
    assert yaml.safe_load(started(""))["groups"][0]["rules"] == []


@pytest.mark.parametrize(
    "wrong", ["2", "=2", "a'b=2", "x=1=2", "*", "budget-service", "budget-service=", "budget-service=two"]
)
def test_what_is_stated_wrongly_ends_the_start_with_one_line(started, wrong):
    with pytest.raises(subprocess.CalledProcessError) as failure:
        started(f"auth-service=1 {wrong}")
    assert failure.value.stderr == f"prometheus: INSTANCES must be words like budget-service=2, not {wrong}\n"


def test_what_is_stated_twice_ends_the_start_with_one_line(started):
    with pytest.raises(subprocess.CalledProcessError) as failure:
        started("jaeger=1 jaeger=2")
    assert failure.value.stderr == "prometheus: INSTANCES must name jaeger once\n"
