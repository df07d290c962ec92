"""The stack in a cluster: started by the verbs, unchanged by a second start."""

import re
import shlex
import subprocess
import time

import httpx
import pytest
from stack import environment
from stack.kubernetes import cluster, overlay, verbs
from stack.local import readiness
from stack.services import BUDGET, SERVICES
from stack.settings import ROOT

from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually
from tests.kubernetes.pods import lose_image, pods_of

RUNBOOKS = (
    (ROOT / "dev-environment/kubernetes/README.md").read_text().partition("\n## Runbooks\n")[2].partition("\n## ")[0]
)

pytestmark = pytest.mark.timeout(900)


def test_the_demo_plays_its_story(settings, verb):
    # A port-forward that has ended is made anew within seconds, whatever ended it.
    eventually(lambda: not readiness.not_ready(settings, SERVICES), 60, "the services are not reached")
    assert "trace" in verb("run", "--", "python", "-m", "libs.journey")


def test_a_second_start_changes_nothing(settings, verb):
    before = {each["metadata"]["uid"] for each in pods_of(settings, "auth-service")}
    command = cluster.command(settings, "diff", *cluster.FIELDS, "--filename=-")
    done = subprocess.run(command, input=overlay.render(settings), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    verb("up")
    assert {each["metadata"]["uid"] for each in pods_of(settings, "auth-service")} == before


def test_a_start_looks_again_for_an_image_that_was_missing(settings, verb):
    (pod,) = pods_of(settings, "mailpit")
    lose_image(settings, pod)
    assert "Replacing pods that could not start: mailpit-" in verb("up")


def test_everything_is_ready_and_says_so(settings, verb):
    assert "not ready" not in verb("status")


def test_after_a_restart_every_service_is_reached_at_once(settings, verb):
    verb("restart", "budget")
    budget = f"{environment.url(BUDGET, settings)}/health/ready"
    for _ in range(20):
        assert httpx.get(budget, trust_env=False).status_code == 200
        time.sleep(0.1)


@pytest.mark.parametrize("typed", re.findall(r"`(kubectl [^`]+)`", RUNBOOKS))
def test_what_takes_the_place_of_docker_in_a_runbook_can_be_typed(settings, typed):
    if re.search("elasticsearch|log-lines", typed) and "elasticsearch" not in verbs.names(settings):
        missing("PARTS leaves Elasticsearch out")
    words = shlex.split(typed.replace("<name>", "mailpit"))
    assert words[:3] == ["kubectl", "-n", cluster.NAMESPACE]
    done = subprocess.run(cluster.command(settings, *words[3:]), capture_output=True, text=True, check=False)
    assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


def test_log_lines_of_all_services_are_found_by_their_level(settings, verb):
    said = verb("logs", "--level", "info", "--no-follow")
    assert [each.name for each in SERVICES if f"\n{each.name}" not in f"\n{said}"] == []
