"""The real promtool accepts the configuration, and finds that each alert fires when it should and only then."""

import subprocess
from collections.abc import Callable

import pytest

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
