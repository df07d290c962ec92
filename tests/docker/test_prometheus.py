"""The real promtool accepts the configuration, and finds that each alert fires when it should and only then."""

import subprocess
from collections.abc import Callable

import pytest

from tests.docker.images import ROOT, image
from tests.rules.promtool import TRIES

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
    """`make test-rules` runs the same cases, rule by rule; here all rules are loaded at once.

    promtool's database may miss a sample while it compacts, which it does with more than 36 hours of data.
    """
    for left in reversed(range(TRIES)):
        try:
            promtool("test", "rules", f"/etc/prometheus/tests/{file.name}")
            return
        except subprocess.CalledProcessError as error:
            said = error.stdout + error.stderr
            if not left or "got: nil" not in said:
                pytest.fail(said)
